#include "textflag.h"

// func prefetchRows(base unsafe.Pointer, size uintptr, rows *int32, n int)
TEXT ·prefetchRows(SB), NOSPLIT, $0-32
	MOVQ base+0(FP), AX
	MOVQ size+8(FP), DX
	MOVQ rows+16(FP), BX
	MOVQ n+24(FP), CX
	TESTQ CX, CX
	JZ   done

loop:
	MOVLQSX    (BX), SI
	IMULQ      DX, SI
	PREFETCHT1 (AX)(SI*1)
	ADDQ       $4, BX
	DECQ       CX
	JNZ        loop

done:
	RET
