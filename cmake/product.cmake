# SPDX-License-Identifier: MIT

# ganger_library(name SOURCES globs... [EXCEPT files...] [EXTRA generated...] LINK targets...)
# One layer as a static library. A layer without a source file yet is an interface that passes its links on.
function(ganger_library name)
    cmake_parse_arguments(arg "" "" "SOURCES;EXCEPT;EXTRA;LINK" ${ARGN})
    file(GLOB sources CONFIGURE_DEPENDS ${arg_SOURCES})
    foreach(except IN LISTS arg_EXCEPT)
        list(REMOVE_ITEM sources "${CMAKE_CURRENT_SOURCE_DIR}/${except}")
    endforeach()
    if(sources)
        add_library(${name} STATIC ${sources} ${arg_EXTRA})
        target_link_libraries(${name} PUBLIC ganger_flags ${arg_LINK})
    else()
        add_library(${name} INTERFACE)
        target_link_libraries(${name} INTERFACE ganger_flags ${arg_LINK})
    endif()
endfunction()
