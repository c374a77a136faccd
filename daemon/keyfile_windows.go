package daemon

import (
	"io/fs"
	"os"
	"strings"
)

func openKeyFile(path string) (*os.File, error) { return os.Open(path) }

// checkKeyFile cannot refuse anything here: who may read a file stands in its access control list, which is not looked at. keyCaution
// says so.
func checkKeyFile(string, fs.FileInfo) error { return nil }

// dressKeyFile leaves a file with what it inherits from its folder.
func dressKeyFile(*os.File, fs.FileInfo) error { return nil }

func admitMe(path string) string { return "run it as the service or as administrator" }

// shellWord writes a path so that both shells take it for one word. No path has such a quote in it.
func shellWord(path string) string {
	if strings.ContainsAny(path, " &'()^%;,") {
		return `"` + path + `"`
	}
	return path
}

// serviceSID is NT SERVICE\meantime, whom `meantime service install` lets into the folder as well (daemon/service, TestServiceSID).
const serviceSID = "S-1-5-80-1687493416-2951619349-1159698506-698339800-53082617"

// keyCaution names the command that shuts everybody out but the system, the administrators and the service, by the numbers that these
// have in every language.
func keyCaution(path string) string {
	return "meantime does not check who may read this file: `meantime service install` closes its folder to others; elsewhere run " +
		"`icacls \"" + path + "\" /inheritance:r /grant:r *S-1-5-18:F *S-1-5-32-544:F *" + serviceSID + ":R`"
}
