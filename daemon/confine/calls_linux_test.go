package confine

import (
	"encoding/binary"
	"runtime"
	"slices"
	"testing"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	allowed = uint32(seccomp.ActionAllow)
	eperm   = uint32(seccomp.ActionErrno) | uint32(unix.EPERM)
	enosys  = uint32(seccomp.ActionErrno) | uint32(unix.ENOSYS)
)

// machines are those whose system calls the library knows.
var machines = map[string]*arch.Info{"amd64": arch.X86_64, "arm64": arch.AARCH64, "386": arch.I386, "arm": arch.ARM}

// answer is what the filter says to a call with one argument.
func answer(t *testing.T, program []bpf.Instruction, machine arch.AuditArch, number int, argument uint64) uint32 {
	t.Helper()
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	// The kernel hands struct seccomp_data over in the machine's order; this one reads as from a network. So word by word.
	data := make([]byte, 64)
	binary.BigEndian.PutUint32(data, uint32(number))
	binary.BigEndian.PutUint32(data[4:], uint32(machine))
	low, high := 16, 20
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		low, high = 20, 16
	}
	binary.BigEndian.PutUint32(data[low:], uint32(argument))
	binary.BigEndian.PutUint32(data[high:], uint32(argument>>32))
	n, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}

// The filter refuses what it lists, by number, and lets through what Go and the daemon live by.
func TestFilter(t *testing.T) {
	name := runtime.GOARCH
	machine := machines[name]
	if machine == nil {
		t.Skipf("no filter on %s", name)
	}
	for _, clock := range []bool{true, false} {
		program, refused, err := filter(machine, clock)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		call := func(want uint32, name string, argument uint64) {
			t.Helper()
			if number, ok := machine.SyscallNames[name]; !ok {
				return
			} else if got := answer(t, program, machine.ID, number, argument); got != want {
				t.Errorf("%s, clock %v: %s(%#x) gives %#x, want %#x", machine.Name, clock, name, argument, got, want)
			}
		}
		for _, name := range denied {
			call(eperm, name, 0)
		}
		for _, name := range clockCalls {
			call(map[bool]uint32{true: allowed, false: eperm}[clock], name, 0)
		}
		for _, name := range []string{"read", "write", "openat", "mmap", "mprotect", "futex", "epoll_wait", "epoll_pwait", "sendmsg", "recvmsg",
			"bind", "setsockopt", "rename", "renameat", "unlinkat", "fsync", "clock_gettime", "nanosleep", "tgkill", "rt_sigaction", "exit_group",
			"getrandom", "timerfd_create", "accept4", "prctl", "fchmod"} {
			call(allowed, name, 0)
		}
		call(allowed, "socket", unix.AF_NETLINK)
		for _, family := range []uint64{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_PACKET, unix.AF_ALG, unix.AF_NETLINK | 1<<32} {
			call(eperm, "socket", family)
		}
		call(allowed, "clone", unix.CLONE_VM|unix.CLONE_THREAD|unix.CLONE_SIGHAND)
		call(eperm, "clone", uint64(unix.SIGCHLD))
		call(eperm, "clone", unix.CLONE_NEWUSER)
		call(enosys, "clone3", 0)
		// The same numbers by another machine's way, and by x32's.
		if got := answer(t, program, arch.AuditArch(uint32(machine.ID)^1), machine.SyscallNames["read"], 0); got != eperm {
			t.Errorf("%s: another machine's call gives %#x", name, got)
		}
		if name == "amd64" {
			if got := answer(t, program, machine.ID, 520|0x40000000, 0); got != enosys { // its execve
				t.Errorf("a call of x32 gives %#x", got)
			}
		}
		if refused < 60 || refused > len(denied)+len(clockCalls)+3 {
			t.Errorf("%s: %d calls refused", name, refused)
		}
	}
}

// Each name is some machine's: a misspelt one would refuse nothing.
func TestNames(t *testing.T) {
	for i, name := range slices.Concat(denied, clockCalls) {
		found := false
		for _, machine := range machines {
			_, ok := machine.SyscallNames[name]
			found = found || ok
		}
		if !found {
			t.Errorf("no machine has %s", name)
		}
		if slices.Index(denied, name) != i && i < len(denied) {
			t.Errorf("%s is named twice", name)
		}
	}
}
