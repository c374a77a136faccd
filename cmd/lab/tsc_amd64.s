#include "textflag.h"

// func rdtsc() int64
// The fences keep the reading between the instructions around it: without them the processor may take it early.
TEXT ·rdtsc(SB), NOSPLIT, $0-8
	LFENCE
	RDTSC
	LFENCE
	SHLQ $32, DX
	ORQ  DX, AX
	MOVQ AX, ret+0(FP)
	RET
