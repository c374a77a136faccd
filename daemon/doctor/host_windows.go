package doctor

import (
	"io/fs"

	"golang.org/x/sys/windows"
)

// free are the bytes that this user may still fill where a folder is.
func free(dir string) (uint64, error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var bytes uint64
	err = windows.GetDiskFreeSpaceEx(name, &bytes, nil, nil)
	return bytes, err
}

// owner: who may do what with a file is in its access list, not in a number.
func owner(fs.FileInfo) (uid int, known bool) { return 0, false }
