# SPDX-License-Identifier: MIT
# Each fuzz/fuzz_<x>.c is a libFuzzer program; its seeds are in fuzz/corpus/<x>/. The builds with tests only compile them, so
# that none falls behind an interface that changes.
file(GLOB fuzz_c CONFIGURE_DEPENDS fuzz/fuzz_*.c)
if(BUILD_TESTING)
    add_library(fuzz_compiled OBJECT ${fuzz_c})
    target_link_libraries(fuzz_compiled PRIVATE test_flags ganger_api ganger_service ganger_cli)
endif()
if(NOT GANGER_FUZZ)
    return()
endif()
foreach(file IN LISTS fuzz_c)
    cmake_path(GET file STEM name)
    add_executable(${name} "${file}")
    target_link_libraries(${name} PRIVATE test_flags ganger_api ganger_service ganger_cli)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
endforeach()
