package sysclock

import (
	"fmt"
	"slices"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// Windows: SetSystemTimeAdjustmentPrecise where kernelbase.dll has it (Windows 10, Server 2016), else
// SetSystemTimeAdjustment, whose step is one 100 ns in a clock tick: 6.4 ppm at 15.625 ms. MSDN calls the precise value
// both a frequency of clock updates and an amount added at each; the two would differ in sign. "Added" is assumed until the clock
// has shown it (sense).

var (
	kernelbase = windows.NewLazySystemDLL("kernelbase.dll")
	kernel32   = windows.NewLazySystemDLL("kernel32.dll")

	procSetPrecise = kernelbase.NewProc("SetSystemTimeAdjustmentPrecise")
	procGetPrecise = kernelbase.NewProc("GetSystemTimeAdjustmentPrecise")
	procSetCoarse  = kernel32.NewProc("SetSystemTimeAdjustment")
	procGetCoarse  = kernel32.NewProc("GetSystemTimeAdjustment")
	procSetTime    = kernel32.NewProc("SetSystemTime")
	procCounter    = kernel32.NewProc("QueryPerformanceCounter")
	procFrequency  = kernel32.NewProc("QueryPerformanceFrequency")
)

// Open enables the privilege to set the clock, reads it back and reads the adjustment in force. It changes nothing else.
func Open() (Clock, error) { return openAdjuster(host{}) }

// host is this Windows.
type host struct{}

func (host) api(old bool) winAPI {
	if old {
		return coarse{}
	}
	return precise{}
}

func (host) has(procedure string) bool {
	all := []*windows.LazyProc{procSetPrecise, procGetPrecise, procSetCoarse, procGetCoarse, procSetTime, procCounter, procFrequency}
	return slices.ContainsFunc(all, func(p *windows.LazyProc) bool { return p.Name == procedure && p.Find() == nil })
}

// enable turns on SeSystemtimePrivilege in this process's token. It succeeds without, too: ERROR_NOT_ALL_ASSIGNED.
func (host) enable() error {
	return withPrivilege(func(token windows.Token, luid windows.LUID) error {
		want := windows.Tokenprivileges{PrivilegeCount: 1}
		want.Privileges[0] = windows.LUIDAndAttributes{Luid: luid, Attributes: windows.SE_PRIVILEGE_ENABLED}
		if err := windows.AdjustTokenPrivileges(token, false, &want, 0, nil, nil); err != nil {
			return fmt.Errorf("AdjustTokenPrivileges: %w", err)
		}
		return nil
	})
}

// enabled tells whether the token holds SeSystemtimePrivilege and has it on.
func (host) enabled() (on bool, err error) {
	err = withPrivilege(func(token windows.Token, luid windows.LUID) (err error) {
		on, err = privilegeOn(token, luid)
		return err
	})
	return on, err
}

// withPrivilege hands over this process's token and the privilege to set the clock.
func withPrivilege(do func(windows.Token, windows.LUID) error) error {
	var token windows.Token
	err := windows.OpenProcessToken(windows.CurrentProcess(), windows.TOKEN_ADJUST_PRIVILEGES|windows.TOKEN_QUERY, &token)
	if err != nil {
		return fmt.Errorf("OpenProcessToken: %w", err)
	}
	defer token.Close()
	name, err := windows.UTF16PtrFromString("SeSystemtimePrivilege")
	if err != nil {
		return err
	}
	var luid windows.LUID
	if err := windows.LookupPrivilegeValue(nil, name, &luid); err != nil {
		return fmt.Errorf("LookupPrivilegeValue SeSystemtimePrivilege: %w", err)
	}
	return do(token, luid)
}

// privilegeOn tells whether the token holds the privilege enabled.
func privilegeOn(token windows.Token, luid windows.LUID) (bool, error) {
	var need uint32
	_ = windows.GetTokenInformation(token, windows.TokenPrivileges, nil, 0, &need) // fails by design: asks for the size
	if need < uint32(unsafe.Sizeof(windows.Tokenprivileges{})) {
		return false, nil // a token without privileges
	}
	buf := make([]uint64, (need+7)/8) // uint64: aligned for the structure
	p := unsafe.Pointer(&buf[0])
	if err := windows.GetTokenInformation(token, windows.TokenPrivileges, (*byte)(p), need, &need); err != nil {
		return false, fmt.Errorf("GetTokenInformation: %w", err)
	}
	for _, held := range (*windows.Tokenprivileges)(p).AllPrivileges() {
		if held.Luid == luid {
			return held.Attributes&windows.SE_PRIVILEGE_ENABLED != 0, nil
		}
	}
	return false, nil
}

// shared is the part that both interfaces have in common.
type shared struct{}

func (shared) read() (Reading, error) { return readHost(narrowEnough) }

func (shared) setTime(ms int64) error {
	t := time.UnixMilli(ms).UTC()
	st := windows.Systemtime{
		Year: uint16(t.Year()), Month: uint16(t.Month()), DayOfWeek: uint16(t.Weekday()), Day: uint16(t.Day()),
		Hour: uint16(t.Hour()), Minute: uint16(t.Minute()), Second: uint16(t.Second()),
		Milliseconds: uint16(t.Nanosecond() / 1_000_000),
	}
	return done("SetSystemTime", procSetTime, uintptr(unsafe.Pointer(&st)))
}

// precise is the interface in units of 64 bits, whose nominal value is read, never assumed.
type precise struct{ shared }

func (precise) adjustment() (value, nominal uint64, disabled bool, err error) {
	var off uint32
	err = done("GetSystemTimeAdjustmentPrecise", procGetPrecise,
		uintptr(unsafe.Pointer(&value)), uintptr(unsafe.Pointer(&nominal)), uintptr(unsafe.Pointer(&off)))
	return value, nominal, off != 0, err
}

// setAdjustment passes 64 bits in one register, as every 64-bit Windows does, or in two words on 32-bit ones.
func (precise) setAdjustment(value uint64, disabled bool) error {
	if unsafe.Sizeof(uintptr(0)) == 4 {
		return done("SetSystemTimeAdjustmentPrecise", procSetPrecise, uintptr(uint32(value)), uintptr(value>>32), flag(disabled))
	}
	return done("SetSystemTimeAdjustmentPrecise", procSetPrecise, uintptr(value), flag(disabled))
}

// coarse is the old interface: 100 ns units added at each clock tick, nominally the tick's own length.
type coarse struct{ shared }

func (coarse) adjustment() (uint64, uint64, bool, error) {
	var value, nominal, off uint32
	err := done("GetSystemTimeAdjustment", procGetCoarse,
		uintptr(unsafe.Pointer(&value)), uintptr(unsafe.Pointer(&nominal)), uintptr(unsafe.Pointer(&off)))
	return uint64(value), uint64(nominal), off != 0, err
}

func (coarse) setAdjustment(value uint64, disabled bool) error {
	return done("SetSystemTimeAdjustment", procSetCoarse, uintptr(uint32(value)), flag(disabled))
}

// done calls a procedure that returns a BOOL and explains its refusal.
//
//go:uintptrescapes
func done(name string, proc *windows.LazyProc, args ...uintptr) error {
	ok, _, err := proc.Call(args...)
	if ok != 0 {
		return nil
	}
	if err == windows.ERROR_PRIVILEGE_NOT_HELD || err == windows.ERROR_ACCESS_DENIED {
		return fmt.Errorf("%s: %w: %w; run as a service or from an elevated prompt, or use --dry-run", name, ErrPermission, err)
	}
	if err == windows.ERROR_INVALID_PARAMETER {
		return fmt.Errorf("%s: %w: a value outside the system's range", name, err)
	}
	return fmt.Errorf("%s: %w", name, err)
}

func flag(b bool) uintptr {
	if b {
		return 1
	}
	return 0
}

// readHost pairs QueryPerformanceCounter with GetSystemTimePreciseAsFileTime.
func readHost(enough int64) (Reading, error) {
	var hz uint64
	if err := done("QueryPerformanceFrequency", procFrequency, uintptr(unsafe.Pointer(&hz))); err != nil {
		return Reading{}, err
	}
	raw := func() (int64, error) {
		var count uint64
		err := done("QueryPerformanceCounter", procCounter, uintptr(unsafe.Pointer(&count)))
		return ticksToNs(count, hz), err
	}
	wall := func() (int64, error) {
		var ft windows.Filetime
		windows.GetSystemTimePreciseAsFileTime(&ft)
		return ft.Nanoseconds(), nil
	}
	return narrowest(raw, wall, brackets, enough)
}

// systemPID is the process id of the kernel's own process on every Windows since XP.
const systemPID = 4

// BootID is the creation time of the System process, which Windows notes once, at boot, and does not move when the clock
// is set. Weaknesses: a machine with "fast startup" resumes its kernel and keeps the id over a shutdown; and where the
// process list cannot be read, the id is the time of boot (now minus GetTickCount64) to ten minutes, which moves
// with a step of the clock and cannot tell two boots within ten minutes apart. Read it after the first step, not before.
func BootID() (string, error) {
	if t := systemCreated(); t != 0 {
		return strconv.FormatInt(t, 16), nil
	}
	boot := time.Now().Add(-windows.DurationSinceBoot()).Round(10 * time.Minute)
	return boot.UTC().Format("20060102T1504"), nil
}

// systemCreated returns the creation time of the System process (100 ns since 1601), or 0.
func systemCreated() int64 {
	size := uint32(1 << 18)
	for range 5 { // the list may grow between two calls
		buf := make([]uint64, size/8)
		var need uint32
		err := windows.NtQuerySystemInformation(windows.SystemProcessInformation, unsafe.Pointer(&buf[0]), size, &need)
		if err == windows.STATUS_INFO_LENGTH_MISMATCH {
			size = max(2*size, (need+1<<14)&^7)
			continue
		}
		if err != nil {
			return 0
		}
		return createdIn(buf, systemPID)
	}
	return 0
}

// createdIn walks the list of processes that NtQuerySystemInformation filled.
func createdIn(buf []uint64, pid uintptr) int64 {
	end := uintptr(len(buf) * 8)
	for at := uintptr(0); at+unsafe.Sizeof(windows.SYSTEM_PROCESS_INFORMATION{}) <= end; {
		p := (*windows.SYSTEM_PROCESS_INFORMATION)(unsafe.Add(unsafe.Pointer(&buf[0]), at))
		if p.UniqueProcessID == pid {
			return p.CreateTime
		}
		if p.NextEntryOffset == 0 {
			return 0
		}
		at += uintptr(p.NextEntryOffset)
	}
	return 0
}
