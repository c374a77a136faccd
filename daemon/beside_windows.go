package daemon

import (
	"errors"
	"fmt"

	"golang.org/x/sys/windows"
)

// services are those that set the clock: Windows' own and the usual port of the NTP reference.
var services = []string{"W32Time", "NTP", "chronyd"}

// rivals asks the service manager, with no more rights than any user has.
func rivals() ([]rival, error) {
	manager, err := windows.OpenSCManager(nil, nil, windows.SC_MANAGER_CONNECT)
	if err != nil {
		return nil, fmt.Errorf("asking the service manager for other time daemons: %w", err)
	}
	defer func() { _ = windows.CloseServiceHandle(manager) }()
	return rivalsByService(services, func(name string) (bool, error) { return running(manager, name) })
}

// running says whether a service runs or is about to.
func running(manager windows.Handle, name string) (bool, error) {
	utf16, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return false, err
	}
	s, err := windows.OpenService(manager, utf16, windows.SERVICE_QUERY_STATUS)
	if errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("opening the service %s: %w", name, err)
	}
	defer func() { _ = windows.CloseServiceHandle(s) }()
	var status windows.SERVICE_STATUS
	if err := windows.QueryServiceStatus(s, &status); err != nil {
		return false, fmt.Errorf("asking for the service %s: %w", name, err)
	}
	return status.CurrentState == windows.SERVICE_RUNNING || status.CurrentState == windows.SERVICE_START_PENDING, nil
}
