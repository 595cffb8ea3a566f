# SPDX-License-Identifier: MIT
# Tests that start the real binary. They link none of the product's libraries: what they know comes
# over the wire.
file(GLOB integration_c CONFIGURE_DEPENDS integration/*.c)
file(GLOB harness_c CONFIGURE_DEPENDS integration/harness*.c)
if(integration_c)
    add_executable(integration ${integration_c} report.c)
    target_link_libraries(integration PRIVATE test_flags PkgConfig::CURL PkgConfig::CJSON PkgConfig::NETTLE PkgConfig::CRITERION
                                              Threads::Threads)
    ganger_add_test(integration integration 300 integration)
endif()

# Minutes or more: run by ./dev crash and ./dev bench, not by ./dev test.
set(crash_long crash_depth)

file(GLOB crash_c CONFIGURE_DEPENDS crash/*.c)
set(crash_programs "")
set(crash_shared ${harness_c})
foreach(file IN LISTS crash_c)
    file(STRINGS "${file}" has_main REGEX "^int main\\(")
    if(has_main)
        list(APPEND crash_programs "${file}")
    else()
        list(APPEND crash_shared "${file}")
    endif()
endforeach()
foreach(file IN LISTS crash_programs)
    cmake_path(GET file STEM name)
    string(REGEX REPLACE "^test_" "" name "${name}")
    string(PREPEND name "crash_")
    add_executable(${name} "${file}" ${crash_shared})
    target_link_libraries(${name} PRIVATE test_flags PkgConfig::CURL PkgConfig::CJSON PkgConfig::SQLITE PkgConfig::NETTLE
                                          Threads::Threads)
    if(name IN_LIST crash_long)
        ganger_add_test(${name} long 3600 ${name})
    else()
        ganger_add_test(${name} crash 300 ${name})
    endif()
endforeach()
if(TARGET crash_blobs)
    ganger_add_test(crash_blobs_seeded_bug crash 300 crash_blobs --seed-bug)
endif()
if(TARGET crash_kill_random)
    # A harness that cannot see a known bug proves nothing: this run must find the one compiled in.
    ganger_add_test(crash_seeded_bug crash 300 crash_kill_random --seed-bug ack-before-commit)
endif()
