# SPDX-License-Identifier: MIT
# What Doxygen reads instead of a header, line for line: the words that begin a paragraph of our
# comments (Expects:, Errors:, ...) as a command, which Doxyfile defines.
s,^( *///) (((Expects|Ensures|Returns|Errors|Complexity|Concurrency|Sharing|Source|Limits|Not for)(\, )?)+): *,\1 @paragraph{\2} ,
# The same behind another sentence on its line.
s,^( *///.*[.;)]) ((Expects|Ensures|Returns|Errors|Complexity|Concurrency|Sharing|Source|Not for): ),\1 @paragraph{\3} ,
