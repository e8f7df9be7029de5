# SPDX-License-Identifier: MIT
# Warnings are for the targets of this repository, which link zcpool_warnings PRIVATE. They are no
# part of zcpool::zcpool: how a consumer compiles is the consumer's affair.
add_library(zcpool_warnings INTERFACE)
target_compile_options(zcpool_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror>)
# A member that hides one of a base class is seen by clang alone, and has been a bug here.
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(zcpool_warnings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wshadow-field>)
endif()
# g++ 12 takes the instrumented std::function of its own <regex> for uninitialised. Without the
# sanitizers the warning is on.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_FLAGS MATCHES "-fsanitize=")
  target_compile_options(zcpool_warnings INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-Wno-maybe-uninitialized>)
endif()
