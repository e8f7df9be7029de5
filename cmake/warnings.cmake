# SPDX-License-Identifier: MIT
# Warnings are for the targets of this repository, which link zcpool_warnings PRIVATE. They are no
# part of zcpool::zcpool: how a consumer compiles is the consumer's affair.
add_library(zcpool_warnings INTERFACE)
target_compile_options(zcpool_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror>)
