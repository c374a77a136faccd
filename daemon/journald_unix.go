//go:build unix

package daemon

import (
	"fmt"
	"os"
	"syscall"
)

// streamOf is a file's device and inode, as JOURNAL_STREAM has them.
func streamOf(f *os.File) string {
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}
