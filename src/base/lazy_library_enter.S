/* The first call of a function of a lazy library arrives here with three words pushed above the
 * caller's return address: the function's slot, its name, its library. All registers that carry
 * arguments are kept, the function's address is asked for, and the call goes on there as if it
 * had been made directly.
 *
 *	rsp + 216  return address of the caller		(rsp is 16-byte aligned here)
 *	rsp + 208  slot
 *	rsp + 200  name
 *	rsp + 192  library
 *	rsp + 128  rax rdi rsi rdx rcx r8 r9
 *	rsp + 0    xmm0 ... xmm7
 */
	.section .note.GNU-stack, "", @progbits
	.text
	.globl lazy_library_enter
	.hidden lazy_library_enter
	.type lazy_library_enter, @function
lazy_library_enter:
	subq $192, %rsp
	movq %rax, 128(%rsp)
	movq %rdi, 136(%rsp)
	movq %rsi, 144(%rsp)
	movq %rdx, 152(%rsp)
	movq %rcx, 160(%rsp)
	movq %r8, 168(%rsp)
	movq %r9, 176(%rsp)
	movups %xmm0, (%rsp)
	movups %xmm1, 16(%rsp)
	movups %xmm2, 32(%rsp)
	movups %xmm3, 48(%rsp)
	movups %xmm4, 64(%rsp)
	movups %xmm5, 80(%rsp)
	movups %xmm6, 96(%rsp)
	movups %xmm7, 112(%rsp)
	movq 192(%rsp), %rdi
	movq 200(%rsp), %rsi
	movq 208(%rsp), %rdx
	call lazy_library_symbol
	movq %rax, %r11
	movq 128(%rsp), %rax
	movq 136(%rsp), %rdi
	movq 144(%rsp), %rsi
	movq 152(%rsp), %rdx
	movq 160(%rsp), %rcx
	movq 168(%rsp), %r8
	movq 176(%rsp), %r9
	movups (%rsp), %xmm0
	movups 16(%rsp), %xmm1
	movups 32(%rsp), %xmm2
	movups 48(%rsp), %xmm3
	movups 64(%rsp), %xmm4
	movups 80(%rsp), %xmm5
	movups 96(%rsp), %xmm6
	movups 112(%rsp), %xmm7
	addq $216, %rsp
	jmp *%r11
	.size lazy_library_enter, . - lazy_library_enter
