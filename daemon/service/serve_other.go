//go:build !windows

package service

import (
	"context"
	"fmt"
)

func answer(func(context.Context, Host) error, Host) error {
	return fmt.Errorf("%w: only Windows' manager wants to be answered", ErrNoManager)
}
