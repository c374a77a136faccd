package sysclock

import (
	"fmt"

	"golang.org/x/sys/windows/registry"
)

// machine is the id that Windows' setup draws. The performance counter has one source.
func machine() (id, source string, err error) {
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, `SOFTWARE\Microsoft\Cryptography`, registry.QUERY_VALUE|registry.WOW64_64KEY)
	if err != nil {
		return "", "", fmt.Errorf("opening the registry for MachineGuid: %w", err)
	}
	defer k.Close()
	if id, _, err = k.GetStringValue("MachineGuid"); err != nil {
		return "", "", fmt.Errorf("reading MachineGuid: %w", err)
	}
	return id, "", nil
}
