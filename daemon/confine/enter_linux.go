package confine

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// Enter leaves this process what the plan names, and tells what is in force then. What the kernel lacks it leaves out; an error means
// that the kernel has it and refused.
func Enter(p Plan) (Report, error) {
	_, _ = time.Now().Zone() // the time zone's file is read at the first use, and then would be out of reach
	if err := NoCoreDumps(); err != nil {
		return Report{}, err
	}
	var keep []cap.Value
	if p.Clock {
		keep = append(keep, cap.SYS_TIME)
	}
	if err := reduce(keep...); err != nil {
		return Report{}, err
	}
	if err := noNewPrivs(); err != nil { // before the two that want it, and for kernels that have neither
		return Report{}, err
	}
	var r Report
	for _, step := range []func(Plan, *Report) error{restrictFiles, restrictCalls, look} {
		if err := step(p, &r); err != nil {
			return r, err
		}
	}
	return r, nil
}

// noNewPrivs lets no program that is started from now on have more rights than this one.
func noNewPrivs() error {
	if _, err := cap.Prctlw(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("giving up new privileges: %w", err)
	}
	return nil
}

// reduce gives up all capabilities but those to keep, in every thread: also the right to get them by a program that is started.
func reduce(keep ...cap.Value) error {
	now, next := cap.GetProc(), cap.NewSet()
	for _, c := range keep {
		if held, err := now.GetFlag(cap.Permitted, c); err != nil || !held {
			continue // whoever needs it finds out, and says so better
		}
		for _, flag := range []cap.Flag{cap.Permitted, cap.Effective} {
			if err := next.SetFlag(flag, true, c); err != nil {
				return fmt.Errorf("keeping %v: %w", c, err)
			}
		}
	}
	if err := reduceBound(now, keep...); err != nil {
		return err
	}
	if err := next.SetProc(); err != nil {
		return fmt.Errorf("giving up capabilities: %w", err)
	}
	return nil
}

// reduceBound takes all but those to keep from what any program that is started could get. Who has no right to do so has
// little to lose: no program is started, and none would get new privileges.
func reduceBound(now *cap.Set, keep ...cap.Value) error {
	if may, err := now.GetFlag(cap.Effective, cap.SETPCAP); err != nil || !may {
		return err
	}
	for c := cap.Value(0); c < cap.MaxBits(); c++ {
		held, err := cap.GetBound(c)
		if err == nil && held && !slices.Contains(keep, c) {
			err = cap.DropBound(c)
		}
		if err != nil {
			return fmt.Errorf("giving up %v: %w", c, err)
		}
	}
	return nil
}

// The rights of the two kinds of place. None may hold programs, devices, sockets or links.
const (
	reading = ll.AccessFSReadFile | ll.AccessFSReadDir
	writing = reading | ll.AccessFSWriteFile | ll.AccessFSTruncate | ll.AccessFSMakeReg | ll.AccessFSRemoveFile
)

// restrictFiles leaves the places of the plan, of all files, and no TCP. Files that are open stay so. Signals and abstract sockets
// are not restricted: some kernels take a signal from one thread of a process to another for one to another process, and Go's
// scheduler lives by those (the sockets are among the calls that are refused).
func restrictFiles(p Plan, r *Report) error {
	version, err := ll.LandlockGetABIVersion()
	if err != nil || version < 1 {
		r.Lacks = append(r.Lacks, "landlock (files can be opened as far as the user may): "+reason(err))
		return nil
	}
	rules := landlock.Config{HandledAccessFS: landlock.V9.HandledAccessFS, HandledAccessNet: landlock.V4.HandledAccessNet}
	err = rules.BestEffort().Restrict(
		landlock.PathAccess(reading, p.Read...).IgnoreIfMissing(),
		landlock.PathAccess(writing, p.Write...).IgnoreIfMissing())
	if err != nil {
		return fmt.Errorf("restricting files: %w", err)
	}
	r.Landlock = version
	return nil
}

// look reads back what is in force.
func look(_ Plan, r *Report) error {
	now := cap.GetProc()
	var held []string
	for c := cap.Value(0); c < cap.MaxBits(); c++ {
		if has, err := now.GetFlag(cap.Permitted, c); err != nil {
			return fmt.Errorf("asking for %v: %w", c, err)
		} else if has {
			held = append(held, c.String())
		}
	}
	r.Capabilities = strings.Join(held, ",")
	privs, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if err != nil {
		return fmt.Errorf("asking for privileges: %w", err)
	}
	dump, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil {
		return fmt.Errorf("asking for core dumps: %w", err)
	}
	r.NoNewPrivs, r.CoreDumps = privs == 1, dump != 0
	return nil
}

// reason says why a kernel does not have something.
func reason(err error) string {
	if err == nil {
		return "this kernel does not have it"
	}
	return "this kernel or what it runs in does not have it: " + err.Error()
}
