# SPDX-License-Identifier: MIT
# Each fuzz/fuzz_<x>.c is a libFuzzer program; its seeds are in fuzz/corpus/<x>/.
file(GLOB fuzz_c CONFIGURE_DEPENDS fuzz/fuzz_*.c)
foreach(file IN LISTS fuzz_c)
    cmake_path(GET file STEM name)
    add_executable(${name} "${file}")
    target_link_libraries(${name} PRIVATE test_flags ganger_api ganger_service ganger_cli)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
endforeach()
