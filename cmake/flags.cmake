# SPDX-License-Identifier: MIT
# The interface library ganger_flags: language, warnings, hardening and instrumentation of every target of ours.
include(CheckCCompilerFlag)
include(CheckLinkerFlag)
include(CheckPIESupported)

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_FLAGS_DEBUG "-O1 -g")
set(CMAKE_C_FLAGS_RELEASE "-O2 -g")   # PRE and POST stay on, so there is no NDEBUG
check_pie_supported(LANGUAGES C)

add_library(ganger_flags INTERFACE)
target_include_directories(ganger_flags INTERFACE "${CMAKE_SOURCE_DIR}")
target_compile_definitions(ganger_flags INTERFACE _GNU_SOURCE= GANGER_VERSION="${PROJECT_VERSION}"
                           $<$<BOOL:${GANGER_FAILPOINTS}>:GANGER_FAILPOINTS=1>)
target_compile_options(ganger_flags INTERFACE
    -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2
    -Wswitch-enum -Wcast-qual -fno-common -fno-strict-overflow
    $<$<BOOL:${GANGER_WERROR}>:-Werror>
    $<$<BOOL:${GANGER_ANALYZE}>:-fanalyzer>)

# Each hardening flag is probed alone: compilers and processors differ in what they know.
function(ganger_probe_compile flag)
    string(MAKE_C_IDENTIFIER "HAVE${flag}" known)
    set(CMAKE_REQUIRED_FLAGS -Werror)
    check_c_compiler_flag(${flag} ${known})
    if(${known})
        target_compile_options(ganger_flags INTERFACE ${flag})
    endif()
endfunction()

function(ganger_probe_link flag)
    string(MAKE_C_IDENTIFIER "HAVE_LINK${flag}" known)
    check_linker_flag(C ${flag} ${known})
    if(${known})
        target_link_options(ganger_flags INTERFACE ${flag})
    endif()
endfunction()

if(NOT GANGER_SANITIZE AND NOT GANGER_FUZZ)
    foreach(flag IN ITEMS -fstack-protector-strong -fstack-clash-protection -fcf-protection
                          -ftrivial-auto-var-init=zero -fstrict-flex-arrays=3)
        ganger_probe_compile(${flag})
    endforeach()
    target_compile_options(ganger_flags INTERFACE $<$<CONFIG:Release>:-U_FORTIFY_SOURCE>
                                                  $<$<CONFIG:Release>:-D_FORTIFY_SOURCE=3>)
endif()
foreach(flag IN ITEMS -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
    ganger_probe_link(${flag})
endforeach()

set(instrument "")
if(GANGER_SANITIZE)
    list(APPEND instrument -fsanitize=${GANGER_SANITIZE} -fno-sanitize-recover=all -g1) # lines are enough for a report
endif()
if(GANGER_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES Clang)
        message(FATAL_ERROR "GANGER_FUZZ needs clang (libFuzzer): use the preset fuzz")
    endif()
    list(APPEND instrument -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
endif()
if(GANGER_COVERAGE)
    list(APPEND instrument --coverage -fprofile-update=atomic)
endif()
if(instrument)
    target_compile_options(ganger_flags INTERFACE ${instrument} -fno-omit-frame-pointer)
    target_link_options(ganger_flags INTERFACE ${instrument})
endif()
