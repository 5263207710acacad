//! Loads compiled kernels: links an object file in memory with LLVM's ORC and gives callable addresses.

use crate::{Error, Result};
use llvm_sys::{
    core::LLVMCreateMemoryBufferWithMemoryRangeCopy,
    error::{LLVMDisposeErrorMessage, LLVMErrorRef, LLVMGetErrorMessage},
    orc2::{
        LLVMJITEvaluatedSymbol, LLVMJITSymbolFlags, LLVMOrcAbsoluteSymbols, LLVMOrcCSymbolMapPair,
        LLVMOrcJITDylibDefine,
        lljit::{
            LLVMOrcCreateLLJIT, LLVMOrcCreateLLJITBuilder, LLVMOrcDisposeLLJIT, LLVMOrcLLJITAddObjectFile,
            LLVMOrcLLJITGetMainJITDylib, LLVMOrcLLJITLookup, LLVMOrcLLJITMangleAndIntern, LLVMOrcLLJITRef,
        },
    },
    target::{LLVM_InitializeNativeAsmPrinter, LLVM_InitializeNativeTarget},
};
use std::ffi::{CStr, CString};

/// A kernel: `args` holds one word per buffer and scalar, `task` is the task's index in the launch.
pub type KernelFn = unsafe extern "C" fn(args: *const u64, task: u64);

/// A loaded object; its code is valid as long as this value.
#[derive(Debug)]
pub struct Object {
    jit: LLVMOrcLLJITRef,
}

// SAFETY: ORC's session has its own locks, and loaded code is only read.
unsafe impl Send for Object {}
// SAFETY: as above.
unsafe impl Sync for Object {}

/// The host functions that a kernel may call.
fn host_functions() -> [(&'static CStr, u64); 3] {
    [
        (c"memcpy", libc::memcpy as *const () as u64),
        (c"memmove", libc::memmove as *const () as u64),
        (c"memset", libc::memset as *const () as u64),
    ]
}

impl Object {
    /// Links `bytes`, which must come from the code generator, as its code will be run.
    ///
    /// # Errors
    /// ORC's message, if this is not an object file for this machine.
    pub fn load(bytes: &[u8]) -> Result<Object> {
        // SAFETY: the calls follow ORC's C API: what is created here is owned by `jit`, which `Object` disposes of; the
        // buffer copies `bytes`; the names outlive the call that interns them.
        unsafe {
            if LLVM_InitializeNativeTarget() != 0 || LLVM_InitializeNativeAsmPrinter() != 0 {
                return Err(Error::Object("LLVM has no back end for this machine".into()));
            }
            let mut jit = std::ptr::null_mut();
            check(LLVMOrcCreateLLJIT(&mut jit, LLVMOrcCreateLLJITBuilder()))?;
            let object = Object { jit };
            let library = LLVMOrcLLJITGetMainJITDylib(jit);
            let mut symbols = host_functions().map(|(name, address)| LLVMOrcCSymbolMapPair {
                Name: LLVMOrcLLJITMangleAndIntern(jit, name.as_ptr()),
                Sym: LLVMJITEvaluatedSymbol {
                    Address: address,
                    // Exported.
                    Flags: LLVMJITSymbolFlags { GenericFlags: 1, TargetFlags: 0 },
                },
            });
            check(LLVMOrcJITDylibDefine(library, LLVMOrcAbsoluteSymbols(symbols.as_mut_ptr(), symbols.len())))?;
            let buffer =
                LLVMCreateMemoryBufferWithMemoryRangeCopy(bytes.as_ptr().cast(), bytes.len(), c"kernels".as_ptr());
            check(LLVMOrcLLJITAddObjectFile(jit, library, buffer))?;
            Ok(object)
        }
    }

    /// The kernel called `name`.
    ///
    /// # Errors
    /// If the object has no such symbol, or refers to one that kernels may not use.
    pub fn kernel(&self, name: &str) -> Result<KernelFn> {
        let symbol = CString::new(name).map_err(|_| Error::Object(format!("'{name}' is no symbol")))?;
        let mut address = 0;
        // SAFETY: the session is alive and the name is zero-terminated.
        unsafe { check(LLVMOrcLLJITLookup(self.jit, &mut address, symbol.as_ptr()))? };
        if address == 0 {
            return Err(Error::Object(format!("'{name}' has no address")));
        }
        // SAFETY: the code generator gives every entry this signature.
        Ok(unsafe { std::mem::transmute::<usize, KernelFn>(address as usize) })
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        // SAFETY: the session was created by `load` and is disposed of once; an error here only says what was leaked.
        let _ = unsafe { check(LLVMOrcDisposeLLJIT(self.jit)) };
    }
}

fn check(error: LLVMErrorRef) -> Result<()> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the error is not null; its message is owned by this function and freed once.
    unsafe {
        let message = LLVMGetErrorMessage(error);
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        LLVMDisposeErrorMessage(message);
        Err(Error::Object(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_is_refused() {
        for bytes in [&b""[..], b"\x7fELF", &[0xff; 4096]] {
            let outcome = Object::load(bytes).and_then(|object| object.kernel("kforge_gemv_0").map(drop));
            assert!(matches!(outcome, Err(Error::Object(_))), "{outcome:?}");
        }
    }
}
