package confine

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// denied are the system calls that a running time daemon has no use for, and whoever took it over would have: they start programs,
// look into others, change what a process is or sees, or reach much of the kernel. Names of other machines or of
// newer kernels than the library's tables are passed over.
var denied = []string{
	"execve", "execveat", "fork", "vfork", // no program
	"ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd", // no other process
	"unshare", "setns", "chroot", "pivot_root", "personality", // no other surroundings
	"setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "setfsuid", "setfsgid", "capset", // no other user
	"setuid32", "setgid32", "setreuid32", "setregid32", "setresuid32", "setresgid32", "setgroups32", "setfsuid32", "setfsgid32",
	"mount", "umount", "umount2", "mount_setattr", "move_mount", "open_tree", "open_tree_attr", "fsopen", "fsconfig", "fsmount", "fspick",
	"mknod", "mknodat", "open_by_handle_at", "name_to_handle_at", "fanotify_init", "quotactl", "quotactl_fd", "acct", "swapon", "swapoff",
	"init_module", "finit_module", "delete_module", "create_module", "kexec_load", "kexec_file_load", "reboot", // no other kernel
	"bpf", "perf_event_open", "userfaultfd", "add_key", "request_key", "keyctl", "io_uring_setup", "io_uring_enter", "io_uring_register",
	"iopl", "ioperm", "modify_ldt", "vm86", "vm86old", "uselib", "nfsservctl", "lookup_dcookie", "syslog", "vhangup",
	"sethostname", "setdomainname",
}

// clockCalls set a clock, or ask adjtimex(2) for it, which a dry run does not either.
var clockCalls = []string{
	"clock_settime", "clock_settime64", "settimeofday", "stime", "adjtimex", "clock_adjtime", "clock_adjtime64",
}

// conditional are refused by what is asked of them. The only socket still to be opened is the one that asks for the interfaces. A new
// thread is one of this process.
var conditional = []seccomp.NameWithConditions{
	{Name: "socket", Conditions: seccomp.ArgumentConditions{{Argument: 0, Operation: seccomp.NotEqual, Value: unix.AF_NETLINK}}},
	{Name: "clone", Conditions: seccomp.ArgumentConditions{{Argument: 0, Operation: seccomp.BitsNotSet, Value: unix.CLONE_THREAD}}},
}

// filter is the program that the kernel runs before each system call, and how many calls it refuses. All else is allowed: what Go's runtime
// calls changes with its versions, and a clock must not stop for it.
func filter(machine *arch.Info, clock bool) ([]bpf.Instruction, int, error) {
	known := func(names []string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(name string) bool { _, ok := machine.SyscallNames[name]; return !ok })
	}
	names := known(denied)
	if !clock {
		names = append(names, known(clockCalls)...)
	}
	refused := len(names) + len(conditional) + 1
	policy := seccomp.Policy{DefaultAction: seccomp.ActionAllow, Syscalls: []seccomp.SyscallGroup{
		{Action: seccomp.ActionErrno, Names: names},
		{Action: seccomp.ActionErrno, NamesWithCondtions: conditional},
		// Its flags lie in memory, where no filter sees them. C libraries take clone then, as on a kernel without it.
		{Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS), Names: known([]string{"clone3"})},
	}}
	program, err := policy.Assemble()
	if err != nil {
		return nil, 0, err
	}
	// The library allows all calls made in another machine's way, such as the 32-bit ones of a 64-bit kernel: refuse them first.
	const archOffset, word = 4, 4 // in struct seccomp_data
	return append([]bpf.Instruction{
		bpf.LoadAbsolute{Off: archOffset, Size: word},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(machine.ID), SkipTrue: 1},
		bpf.RetConstant{Val: uint32(seccomp.ActionErrno) | uint32(unix.EPERM)},
	}, program...), refused, nil
}

// restrictCalls has the kernel refuse the calls above, in all threads at once.
func restrictCalls(p Plan, r *Report) error {
	const without = "seccomp (all system calls are allowed): "
	machine, err := arch.GetInfo("")
	if err != nil || len(machine.SyscallNames) == 0 {
		r.Lacks = append(r.Lacks, without+"its numbers are not known for "+runtime.GOARCH)
		return nil
	}
	program, refused, err := filter(machine, p.Clock)
	if err != nil {
		return fmt.Errorf("restricting system calls: %w", err)
	}
	switch err := load(program); {
	case errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPERM): // the last by a container's own filter
		r.Lacks = append(r.Lacks, without+reason(err))
	case err != nil:
		return fmt.Errorf("restricting system calls: %w", err)
	default:
		r.DeniedCalls = refused
	}
	return nil
}

// load hands a filter to the kernel. The library would load only what it has assembled itself.
func load(program []bpf.Instruction) error {
	raw, err := bpf.Assemble(program)
	if err != nil {
		return err
	}
	code := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		code[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return errno
	}
	if thread != 0 {
		return fmt.Errorf("thread %d has another filter", thread)
	}
	return nil
}
