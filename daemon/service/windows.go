package service

import (
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"
)

// What Windows' service manager is told is the same on every system, so that it can be tested on any.

// localService is the account with the least rights that may set the clock by default.
const localService = `NT AUTHORITY\LocalService`

// privileges are all that the service keeps of LocalService's: to set the clock, and to open a file by its path alone, which all have.
var privileges = []string{"SeSystemtimePrivilege", "SeChangeNotifyPrivilege"}

// serviceSID is the security id that Windows makes of a service's name: S-1-5-80- and the SHA-1 of the name in capitals. It names
// this service alone, where the account is shared with others.
func serviceSID(name string) string {
	var wide []byte
	for _, unit := range utf16.Encode([]rune(strings.ToUpper(name))) {
		wide = binary.LittleEndian.AppendUint16(wide, unit)
	}
	hash := sha1.Sum(wide)
	sid := "S-1-5-80"
	for part := hash[:]; len(part) > 0; part = part[4:] {
		sid += fmt.Sprintf("-%d", binary.LittleEndian.Uint32(part))
	}
	return sid
}

// Access lists in the language of security descriptors. They inherit nothing (P), and what is put into the folder inherits them (OICI):
// the system and the administrators may do all.
const accessOwners = "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"

// configAccess lets the service read configuration and key, and nobody else but the owners.
func configAccess() string { return accessOwners + "(A;OICI;FRFX;;;" + serviceSID(Name) + ")" }

// stateAccess lets it write, make, rename and remove files, but not change who may.
func stateAccess() string { return accessOwners + "(A;OICI;0x1301ff;;;" + serviceSID(Name) + ")" }
