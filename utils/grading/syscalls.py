"""Landlock, seccomp and capabilities by their system calls: Python has no module for them.

Each function restricts the calling process and whatever it starts, for good.
"""

import ctypes
import os
import platform
import stat
import struct
from collections.abc import Sequence
from pathlib import Path

SCOPED = 6  # the version of landlock that keeps signals in
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446  # the same on both machines

# landlock: bits of handled_access_fs, with the version that brought them
_READ_FILE, _READ_DIR, _WRITE_FILE, _TRUNCATE = 1 << 2, 1 << 3, 1 << 1, 1 << 14
_FILE_BITS = 1 << 0 | _WRITE_FILE | _READ_FILE | _TRUNCATE | 1 << 15  # the others are for folders
_N_BITS = {1: 13, 2: 14, 3: 15, 4: 15}  # from version 5 on 16
_EXECUTE, _IOCTL, _REFER = 1 << 0, 1 << 15, 1 << 13

# seccomp: (x86_64, aarch64) numbers of what is refused with "operation not permitted"; None where it does not exist
_REFUSED = {
    # other processes, and rights over them
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "process_madvise": (440, 440), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424), "unshare": (272, 97), "setns": (308, 268),
    # the network, and local sockets of other programs
    "socket": (41, 198),
    # memory that outlives or escapes the limits
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "semget": (64, 190),
    "msgget": (68, 186), "mq_open": (240, 180), "move_pages": (279, 239), "migrate_pages": (256, 238),
    # attributes of files, which landlock leaves open: a grader's own user may change those of the grader's files
    "truncate": (76, 45), "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "lchown": (94, None), "fchown": (93, 55), "fchownat": (260, 54), "utime": (132, None),
    "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88), "setxattr": (188, 5),
    "lsetxattr": (189, 6), "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15),
    "fremovexattr": (199, 16), "setxattrat": (463, 463), "removexattrat": (466, 466),
    # mounts and other roots
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "move_mount": (429, 429),
    "open_tree": (428, 428), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fspick": (433, 433), "mount_setattr": (442, 442), "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264), "quotactl": (179, 60), "quotactl_fd": (443, 443), "acct": (163, 89),
    # large or rarely used parts of the kernel
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "fanotify_init": (300, 262), "personality": (135, 92), "syslog": (103, 116),
    "vhangup": (153, 58), "lookup_dcookie": (212, 18),
    # the machine: modules, clock, name, power
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171), "clock_adjtime": (305, 266),
    "sethostname": (170, 161), "setdomainname": (171, 162),
}  # fmt: skip
# number of the calls that are looked at, and of the machine for the kernel
_MACHINES = {
    "x86_64": dict(column=0, audit=0xC000003E, clone=56, clone3=435, prctl=157, prlimit64=302, ioctl=16, capset=126),
    "aarch64": dict(column=1, audit=0xC00000B7, clone=220, clone3=435, prctl=167, prlimit64=261, ioctl=29, capset=91),
}
_NAMESPACES = 0x7E020080  # the flags of clone that ask for one (CLONE_NEW*)
_PDEATHSIG, _TIOCSTI = 1, 0x5412
_EPERM, _ENOSYS = 1, 38
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF instructions
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCH, _ARGUMENT = 0, 4, (16, 24)  # offsets in struct seccomp_data; of arguments, their low halves


def drop_capabilities(libc: ctypes.CDLL) -> None:
    """Give up what root, or the first process of a user namespace, may do more than others."""
    if machine := _MACHINES.get(platform.machine()):
        header, none = struct.pack("Ii", 0x20080522, 0), bytes(24)
        libc.syscall(ctypes.c_long(machine["capset"]), header, none)


def restrict_files(libc: ctypes.CDLL, readable: Sequence[Path], writable: Sequence[Path]) -> int:
    """Landlock: from now on, only these files and folders can be opened, and nothing can be executed.

    From version 4 on no TCP, from version 6 on no signals to processes outside.

    Returns:
        The kernel's version of landlock; 0 if it has none, and then nothing was restricted.
    """
    version = libc.syscall(ctypes.c_long(_LANDLOCK_CREATE), None, ctypes.c_size_t(0), ctypes.c_uint(1))
    if version < 1:
        return 0
    handled = (1 << _N_BITS.get(version, 16)) - 1
    attributes = struct.pack("QQQ", handled, 3, 3)[: 8 if version < 4 else 16 if version < SCOPED else 24]
    ruleset = _call(libc, _LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint(0))
    everything = handled & ~(_EXECUTE | _IOCTL | _REFER)
    rules = [(path, _READ_FILE | _READ_DIR) for path in readable]
    rules += [(path, everything) for path in writable] + [(Path(os.devnull), _READ_FILE | _WRITE_FILE)]
    for path, access in rules:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            access &= _FILE_BITS
        rule = struct.pack("=Qi", access & handled, fd)
        _call(libc, _LANDLOCK_ADD, ctypes.c_int(ruleset), ctypes.c_int(1), rule, ctypes.c_uint(0))
        os.close(fd)
    _call(libc, _LANDLOCK_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint(0))
    os.close(ruleset)
    return version


def _call(libc: ctypes.CDLL, number: int, *arguments) -> int:
    result = libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def restrict_calls(libc: ctypes.CDLL) -> bool:
    """Seccomp: from now on, system calls that a probe never needs are refused. False if there is no filter for them."""
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        return False
    code = _filter(machine)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    return libc.prctl(22, 2, program, 0, 0) == 0


def _filter(machine: dict[str, int]) -> bytes:
    """The filter as BPF: every test that fails goes to the next line."""
    refuse, unknown = _ERRNO | _EPERM, _ERRNO | _ENOSYS

    def jump(test: int, value: int, yes: int, no: int) -> bytes:
        return struct.pack("HBBI", test, yes, no, value)

    def plain(code: int, value: int) -> bytes:
        return struct.pack("HBBI", code, 0, 0, value)

    def when(number: int, offset: int, test: int, value: int) -> list[bytes]:
        """Refuse a call if one of its arguments passes a test."""
        return [
            jump(_EQUAL, number, 0, 4),
            plain(_LOAD, offset),
            jump(test, value, 0, 1),
            plain(_RETURN, refuse),
            plain(_RETURN, _ALLOW),
        ]

    lines = [plain(_LOAD, _ARCH), jump(_EQUAL, machine["audit"], 1, 0), plain(_RETURN, _KILL)]
    lines += [plain(_LOAD, _NUMBER), jump(_AT_LEAST, 0x40000000, 0, 1), plain(_RETURN, refuse)]  # a second numbering
    for numbers in _REFUSED.values():
        number = numbers[machine["column"]]
        if number is not None:
            lines += [jump(_EQUAL, number, 0, 1), plain(_RETURN, refuse)]
    # its flags lie in memory, where a filter cannot look; the C library then takes clone
    lines += [jump(_EQUAL, machine["clone3"], 0, 1), plain(_RETURN, unknown)]
    lines += when(machine["clone"], _ARGUMENT[0], _ANY_BIT, _NAMESPACES)
    lines += when(machine["prctl"], _ARGUMENT[0], _EQUAL, _PDEATHSIG)
    lines += when(machine["ioctl"], _ARGUMENT[1], _EQUAL, _TIOCSTI)
    # limits of another process
    number, own = machine["prlimit64"], 0
    lines += [jump(_EQUAL, number, 0, 3), plain(_LOAD, _ARGUMENT[0]), jump(_EQUAL, own, 1, 0), plain(_RETURN, refuse)]
    lines.append(plain(_RETURN, _ALLOW))
    return b"".join(lines)
