package service

import "os"

// newManager is launchd's, which is on every macOS.
func newManager() (Manager, error) { return newLaunchd("", os.Geteuid()), nil }
