package sysclock

import (
	"fmt"
	"os"
	"strings"
)

const clocksource = "/sys/devices/system/clocksource/clocksource0/current_clocksource"

// machine reads machine-id(5), which an image that is not set up yet holds empty or as "uninitialized", and the kernel's clock
// source.
func machine() (id, source string, err error) {
	return machineOf([]string{"/etc/machine-id", "/var/lib/dbus/machine-id"}, clocksource)
}

func machineOf(files []string, clocksource string) (id, source string, err error) {
	b, _ := os.ReadFile(clocksource) // not in every sandbox
	source = strings.TrimSpace(string(b))
	for _, file := range files {
		b, failed := os.ReadFile(file)
		if failed != nil {
			err = failed
			continue
		}
		if id = strings.TrimSpace(string(b)); len(id) >= 32 {
			return id, source, nil
		}
		err = fmt.Errorf("%s holds no id: run systemd-machine-id-setup", file)
	}
	return "", "", err
}
