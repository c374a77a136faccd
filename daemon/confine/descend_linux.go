package confine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// descended tells a process that it was started again for a user: it does not try twice.
const descended = "MEANTIME_DESCENDED"

// ErrAccount says that a process could not become the user that it should.
var ErrAccount = errors.New("cannot go on as another user")

// IsRoot says whether this process is root and may set the clock: then it has something to give up by becoming somebody else.
func IsRoot() bool {
	held, err := cap.GetProc().GetFlag(cap.Effective, cap.SYS_TIME)
	return os.Geteuid() == 0 && err == nil && held
}

// Become starts this program again as an ordinary user, in a group and in others, that has the right to set the clock and no other. It
// returns only if that failed. Starting again, and not merely going on, leaves nothing of root's in memory, and gives every thread the
// same rights.
func Become(uid, gid int, others ...int) error {
	if os.Getenv(descended) != "" || uid == 0 {
		return fmt.Errorf("%w: it was tried and this is root still", ErrAccount)
	}
	for _, step := range []func() error{
		func() error { return reduceBound(cap.GetProc(), cap.SYS_TIME) },
		func() error { return cap.SetGroups(gid, others...) }, // and no more
		func() error { return cap.SetUID(uid) },
		func() error { return inherit(cap.SYS_TIME) },
		noNewPrivs,
	} {
		if err := step(); err != nil {
			return fmt.Errorf("%w: %w", ErrAccount, err)
		}
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAccount, err)
	}
	environ := append(os.Environ(), descended+"="+strconv.Itoa(uid))
	err = syscall.Exec(program, os.Args, environ)
	if errors.Is(err, fs.ErrPermission) { // the way to it may be closed to the user, as the folder of root is
		err = syscall.Exec("/proc/self/exe", os.Args, environ)
	}
	return fmt.Errorf("%w: starting %s again: %w (may that user execute it?)", ErrAccount, program, err)
}

// inherit leaves these capabilities to this process and to the program it starts, and no others.
func inherit(keep ...cap.Value) error {
	set := cap.NewSet()
	for _, flag := range []cap.Flag{cap.Permitted, cap.Effective, cap.Inheritable} {
		if err := set.SetFlag(flag, true, keep...); err != nil {
			return err
		}
	}
	if err := set.SetProc(); err != nil {
		return err
	}
	return cap.SetAmbient(true, keep...)
}

// Give makes a folder, or takes one of root's, and hands it to a user, with the files in it that root made; nobody else gets in. Only
// this program's own are handed over: a folder that holds anything else than what ours knows is refused.
func Give(dir string, uid, gid int, ours func(name string) bool) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil { // the way there is open to the user
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	folder, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }()
	owner, err := ownerOf(folder)
	if err != nil {
		return err
	}
	if owner != 0 && owner != uid {
		return fmt.Errorf("%s belongs to user %d: name another folder", dir, owner)
	}
	entries, err := folder.ReadDir(-1)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if owner == 0 && !ours(e.Name()) {
			return fmt.Errorf("%s holds %s, which is not meantime's: name a folder that it can have for itself", dir, e.Name())
		}
	}
	for _, e := range entries {
		if err := giveFile(folder, e.Name(), uid, gid); err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(dir, e.Name()), err)
		}
	}
	return errors.Join(folder.Chown(uid, gid), folder.Chmod(0o700))
}

// giveFile hands over a file of root's. The folder may be the user's already, so what is there may be a trap: a link, or a second name of
// another file, is left alone.
func giveFile(folder *os.File, name string, uid, gid int) error {
	fd, err := unix.Openat(int(folder.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENXIO) { // a link, gone, a socket
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink != 1 || st.Uid != 0 {
		return nil
	}
	return errors.Join(unix.Fchown(fd, uid, gid), unix.Fchmod(fd, 0o600))
}

func ownerOf(f *os.File) (int, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return 0, err
	}
	return int(st.Uid), nil
}
