/* SPDX-License-Identifier: MIT */
/* tiny: the smallest static program; exits 0. The floor of a job without the dynamic linker.
 * Built with: cc -O2 -static -nostdlib tiny.c */

#if !defined(__x86_64__) && !defined(__aarch64__)
#error "tiny has no entry for this processor"
#endif

void _start(void);

void _start(void)
{
#if defined(__x86_64__)
    __asm__ volatile("mov $60, %eax\n\txor %edi, %edi\n\tsyscall"); /* exit(0) */
#else
    __asm__ volatile("mov x8, #93\n\tmov x0, #0\n\tsvc #0");
#endif
}
