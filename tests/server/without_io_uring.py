# SPDX-License-Identifier: MIT
"""without_io_uring.py ERRNO [--register=OPERATION] COMMAND...: runs a command for which
io_uring_setup fails, as in a container whose seccomp filter forbids it (EPERM) or on a kernel that
has none (ENOSYS); or only one operation of io_uring_register, as on an older kernel (EINVAL)."""

import ctypes
import errno
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
SECCOMP_RET_ERRNO = 0x00050000
SECCOMP_RET_ALLOW = 0x7FFF0000
IO_URING_SETUP = 425  # the same on all processors
IO_URING_REGISTER = 427
BPF_LOAD_WORD = 0x20
BPF_JUMP_EQUAL = 0x15
BPF_RETURN = 0x06


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def main():
    code = getattr(errno, sys.argv[1])
    command = sys.argv[2:]
    refused = [(BPF_LOAD_WORD, 0, 0, 0),  # the number of the system call
               (BPF_JUMP_EQUAL, 0, 1, IO_URING_SETUP)]
    if command[0].startswith("--register="):
        operation = int(command.pop(0).partition("=")[2])
        second_argument = 24 if sys.byteorder == "little" else 28  # its lower half
        refused = [(BPF_LOAD_WORD, 0, 0, 0),
                   (BPF_JUMP_EQUAL, 0, 3, IO_URING_REGISTER),
                   (BPF_LOAD_WORD, 0, 0, second_argument),
                   (BPF_JUMP_EQUAL, 0, 1, operation)]
    instructions = b"".join(struct.pack("=HBBI", *each) for each in (
        *refused,
        (BPF_RETURN, 0, 0, SECCOMP_RET_ERRNO | code),
        (BPF_RETURN, 0, 0, SECCOMP_RET_ALLOW)))
    program = Program(len(instructions) // 8, instructions)
    libc = ctypes.CDLL(None, use_errno=True)
    if (libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program)) != 0):
        sys.exit(f"without_io_uring.py: {os.strerror(ctypes.get_errno())}")
    os.execvp(command[0], command)


main()
