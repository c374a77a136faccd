package service

import (
	"errors"
	"fmt"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"
)

const (
	// rivalName is Windows' own time service. Two that set one clock fight.
	rivalName = "W32Time"
	// rivalKey is where its start type is kept until it gets it back. It goes with the service.
	rivalKey   = servicesKey + Name + `\Parameters`
	rivalStart = rivalName + "Start"
	rivalRan   = rivalName + "Ran"
)

// restrain says that Windows' time service runs or, with the operator's consent, stops it and keeps it from being started.
func restrain(l *ledger, o Options) error {
	start, runs, err := lookAt(rivalName)
	switch {
	case errors.Is(err, ErrNotInstalled), err == nil && !runs && (start == mgr.StartDisabled || !o.StopW32Time):
		return nil
	case err != nil:
		return fmt.Errorf("looking for %s: %w", rivalName, err)
	case !o.StopW32Time:
		l.note(Keep, rivalName+" runs and sets this clock: the service will not start beside it (--stop-w32time stops and disables it; "+
			"uninstall brings it back)", "")
		return nil
	}
	return l.do("stop and disable "+rivalName+"; uninstall brings it back", func() error {
		if err := rememberRival(start, runs); err != nil {
			return err
		}
		if err := setStart(rivalName, mgr.StartDisabled); err != nil {
			return err
		}
		if err := halt(rivalName); err != nil {
			return errors.Join(err, bringBack(start, false))
		}
		return nil
	}, func() error { return bringBack(start, runs) })
}

// lookAt gives a service's start type, and whether it runs.
func lookAt(name string) (start uint32, runs bool, err error) {
	err = withService(name, windows.SERVICE_QUERY_STATUS, func(s *mgr.Service) error {
		now, err := s.Query()
		runs = now.State != svc.Stopped
		return err
	})
	if err != nil {
		return 0, false, err
	}
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, servicesKey+name, registry.QUERY_VALUE)
	if err != nil {
		return 0, false, err
	}
	defer k.Close()
	value, _, err := k.GetIntegerValue("Start")
	return uint32(value), runs, err
}

// setStart sets a service's start type.
func setStart(name string, start uint32) error {
	return withService(name, windows.SERVICE_CHANGE_CONFIG, func(s *mgr.Service) error {
		const same = windows.SERVICE_NO_CHANGE
		return windows.ChangeServiceConfig(s.Handle, same, start, same, nil, nil, nil, nil, nil, nil, nil)
	})
}

// rememberRival writes down how the time service was found; what was written down before stays.
func rememberRival(start uint32, ran bool) error {
	k, _, err := registry.CreateKey(registry.LOCAL_MACHINE, rivalKey, registry.QUERY_VALUE|registry.SET_VALUE)
	if err != nil {
		return err
	}
	defer k.Close()
	if _, _, err := k.GetIntegerValue(rivalStart); err == nil {
		return nil
	}
	number := uint32(0)
	if ran {
		number = 1
	}
	return errors.Join(k.SetDWordValue(rivalStart, start), k.SetDWordValue(rivalRan, number))
}

// release brings the time service back, where it was stopped.
func release(l *ledger) error {
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, rivalKey, registry.QUERY_VALUE)
	if err != nil {
		return nil // it was not
	}
	defer k.Close()
	start, _, err := k.GetIntegerValue(rivalStart)
	if err != nil {
		return nil
	}
	ran, _, _ := k.GetIntegerValue(rivalRan) // else it did not
	return l.do("bring "+rivalName+" back as it was", func() error { return bringBack(uint32(start), ran != 0) }, nil)
}

// bringBack gives the time service its start type, and starts it.
func bringBack(start uint32, run bool) error {
	if err := setStart(rivalName, start); err != nil || !run {
		return err
	}
	return withService(rivalName, windows.SERVICE_START, func(s *mgr.Service) error {
		if err := s.Start(); err != nil && !errors.Is(err, windows.ERROR_SERVICE_ALREADY_RUNNING) {
			return err
		}
		return nil
	})
}
