//go:build unix

package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// tooOpen are the mode bits that no key file has: any for others, and more than reading for its group.
	tooOpen = 0o037
	// groupReads is the bit that not every group may have.
	groupReads = 0o040
	// keyMode and sharedKeyMode are a new file's: for its owner alone, and where the service has a group of its own.
	keyMode, sharedKeyMode = 0o600, 0o640
)

// openKeyFile opens the file; a pipe in its place is opened as well, and does not keep us waiting. A symbolic link is followed: where
// it leads to is checked.
func openKeyFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// lockKeys takes the lock on the file itself, which nobody can hold who may not read it. The file is replaced under it: whoever opened
// the one before has come too late, lock or not.
func lockKeys(path string) (release func(), err error) {
	f, err := openKeyFile(path)
	if err != nil {
		return nil, err
	}
	release = func() { _ = f.Close() }
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	mine, mineErr := f.Stat()
	now, nowErr := os.Stat(path)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK), errors.Is(nowErr, fs.ErrNotExist), mineErr == nil && nowErr == nil && !os.SameFile(mine, now):
		err = errKeysHeld
	case err != nil:
		err = fmt.Errorf("locking it: %w (change a copy on a local disk)", err)
	default:
		err = errors.Join(mineErr, nowErr)
	}
	if err != nil {
		release()
	}
	return release, err
}

// checkKeyFile refuses a file that somebody else could have written, or can read. The commands it names mend that.
func checkKeyFile(path string, info fs.FileInfo) error {
	owner, group, err := owners(info)
	if err != nil {
		return err
	}
	if me := os.Geteuid(); owner != 0 && owner != me {
		return fmt.Errorf("it belongs to user %s, who could change it: run `chown %s %s`", userName(owner), userName(me), shellWord(path))
	}
	mode, shared := info.Mode().Perm(), mayRead(group)
	if mode&tooOpen != 0 {
		mend := mode & sharedKeyMode
		return fmt.Errorf("its mode is %04o: others can read or change what only its owner may: run `chmod %o %s`, and "+
			"`%s` if anybody else may have read it", mode, mend, shellWord(path), KeyCommand("rotate", path))
	}
	if mode&groupReads != 0 && !shared {
		return fmt.Errorf("group %s can read it, and who is in that is not meantime's to know: run `%s %s`, and `meantime key rotate` if "+
			"anybody else may have read it", groupName(group), shutOut(owner, mode), shellWord(path))
	}
	return nil
}

// serviceGroup is the group of the service, -1 where there is none.
var serviceGroup = sync.OnceValue(func() int {
	g, err := user.LookupGroup(keyGroup)
	if err != nil {
		return -1
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return -1
	}
	return gid
})

// ownGroups are the groups found to be some user's own. A daemon that is confined cannot look them up again.
var ownGroups sync.Map

// mayRead says whether a group is one that a key file is shared with: the service's, this process's own, root's. To root, who
// changes the file for whomever the daemon goes on as, it is also what a user has as his own, by his name.
func mayRead(gid int) bool {
	service := serviceGroup() // at the first look, whatever the group: later, a daemon is confined
	if gid == service || gid == 0 || gid == os.Getegid() {
		return true
	}
	if os.Geteuid() != 0 {
		return false
	}
	if _, ok := ownGroups.Load(gid); ok {
		return true
	}
	u, err := user.Lookup(groupName(gid))
	if err != nil || u.Gid != strconv.Itoa(gid) {
		return false
	}
	ownGroups.Store(gid, true)
	return true
}

// shutOut is the command that lets this process go on reading a file of owner's, and a group that is none of mayRead's no longer.
func shutOut(owner int, mode fs.FileMode) string {
	if owner != os.Geteuid() {
		return "chgrp " + groupName(os.Getegid())
	}
	if serviceGroup() >= 0 && owner == 0 {
		return "chgrp " + keyGroup
	}
	return fmt.Sprintf("chmod %o", mode&^groupReads)
}

// owners are the user and the group that a file belongs to.
func owners(info fs.FileInfo) (uid, gid int, err error) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, errors.New("the system does not say whose file it is")
	}
	return int(stat.Uid), int(stat.Gid), nil
}

// admitMe is what lets this process read a file that it may not.
func admitMe(path string) string {
	return fmt.Sprintf("run it as root, or let this user's group read it: run `chgrp %[1]s %[2]s && chmod 640 %[2]s`", groupName(os.Getegid()),
		shellWord(path))
}

// dressKeyFile gives a file to whom the other belonged that it takes the place of. A new one of root's can be read by the service's
// group, where there is one; any other is for its owner alone.
func dressKeyFile(f *os.File, like fs.FileInfo) error {
	if like != nil {
		uid, gid, err := owners(like)
		if err == nil && (uid != os.Geteuid() || gid != os.Getegid()) {
			err = f.Chown(uid, gid)
		}
		return errors.Join(err, f.Chmod(like.Mode().Perm()))
	}
	gid := serviceGroup()
	if gid < 0 || os.Geteuid() != 0 {
		return f.Chmod(keyMode)
	}
	return errors.Join(f.Chown(0, gid), f.Chmod(sharedKeyMode))
}

// keyCaution: the modes that are checked say who may read a file.
func keyCaution(string) string { return "" }

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}

func groupName(gid int) string {
	if g, err := user.LookupGroupId(strconv.Itoa(gid)); err == nil {
		return g.Name
	}
	return strconv.Itoa(gid)
}

// shellWord writes a path so that a shell takes it for one word.
func shellWord(path string) string {
	if strings.Trim(strings.ToLower(path), "abcdefghijklmnopqrstuvwxyz0123456789/._-+:") == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
