# SPDX-License-Identifier: MIT
# Rules of the tree that no compiler holds, and commands of documents.
ganger_add_test(layering tree 30 sh "${CMAKE_CURRENT_SOURCE_DIR}/layering.sh")
ganger_add_test(banned tree 60 sh "${CMAKE_CURRENT_SOURCE_DIR}/banned.sh")
ganger_add_test(dev_verbs tree 60 sh "${CMAKE_CURRENT_SOURCE_DIR}/dev.sh")

if(TARGET ganger)
    add_executable(print_states print_states.c)
    target_link_libraries(print_states PRIVATE ganger_flags ganger_base)
    add_executable(print_routes print_routes.c)
    target_link_libraries(print_routes PRIVATE ganger_flags ganger_api)
    ganger_add_test(generated_docs tree 30 sh "${CMAKE_CURRENT_SOURCE_DIR}/docs.sh" "${CMAKE_BINARY_DIR}")
    ganger_add_test(systemd_unit tree 60 sh "${CMAKE_CURRENT_SOURCE_DIR}/unit_file.sh" $<TARGET_FILE:ganger>)

    # Every command in the README is run for real.
    file(GLOB readme_sh CONFIGURE_DEPENDS readme/*.sh)
    foreach(script IN LISTS readme_sh)
        cmake_path(GET script STEM name)
        ganger_add_test(readme_${name} readme 180 sh "${script}")
    endforeach()

    # Every example, and what it prints.
    file(GLOB example_outputs CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/examples/expected/*")
    set(examples copier)
    foreach(file IN LISTS example_outputs)
        cmake_path(GET file FILENAME name)
        list(APPEND examples ${name})
    endforeach()
    foreach(name IN LISTS examples)
        ganger_add_test(example_${name} examples 120 sh "${CMAKE_CURRENT_SOURCE_DIR}/examples/run.sh" ${name})
    endforeach()
endif()
