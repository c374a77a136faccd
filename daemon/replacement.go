package daemon

import (
	"errors"
	"os"
	"path/filepath"
)

// replaceFile writes a file as a whole: after a crash there is what was there before or the new one, never half of one. Only this
// user can read it, whatever the umask, unless dress (nil = nothing) says otherwise; put moves it to its path, as os.Rename does.
func replaceFile(path string, content []byte, dress func(*os.File) error, put func(from, to string) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	if err = f.Chmod(0o600); err == nil { // a umask may have left less
		_, err = f.Write(content)
	}
	if err == nil && dress != nil {
		err = dress(f)
	}
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = put(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
