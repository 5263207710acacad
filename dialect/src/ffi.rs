//! The C functions of `cpp/shim.cpp`.

use mlir_sys::{MlirAttribute, MlirContext, MlirDialectRegistry, MlirModule, MlirOperation, MlirStringRef, MlirType};
use std::ffi::{c_char, c_int, c_void};

#[repr(C)]
pub struct OptionSpec {
    pub name: *const c_char,
    pub description: *const c_char,
    pub value: *const c_char,
    pub kind: i32,
}

/// A row of a registry: a pass, or a pipeline, whose anchor is null.
#[repr(C)]
pub struct PassSpec {
    pub name: *const c_char,
    pub description: *const c_char,
    pub anchor: *const c_char,
    pub options: *const OptionSpec,
    pub option_count: usize,
    pub row: *const c_void,
}

/// Takes a text of C++ for the call, and the `data` given with it.
pub type TakeFn = unsafe extern "C" fn(MlirStringRef, *mut c_void);

/// `Diagnostics` of the shim.
#[repr(C)]
pub struct Diagnostics {
    _private: [u8; 0],
}

pub type RunFn = extern "C" fn(row: *const c_void, pass: *mut c_void, op: MlirOperation, context: MlirContext) -> bool;

pub type ExpandFn = unsafe extern "C" fn(
    row: *const c_void,
    values: *const MlirStringRef,
    count: usize,
    take: TakeFn,
    data: *mut c_void,
) -> bool;

unsafe extern "C" {
    pub fn kforgeAddDialects(hook: extern "C" fn(MlirDialectRegistry));
    pub fn kforgeFillRegistry(registry: MlirDialectRegistry);
    pub fn kforgeRegisterPass(spec: *const PassSpec, run: RunFn);
    pub fn kforgeRegisterPipeline(spec: *const PassSpec, expand: ExpandFn);
    pub fn kforgeRegisterUpstreamPasses();
    pub fn kforgePassOption(pass: *mut c_void, index: usize, take: TakeFn, data: *mut c_void);
    pub fn kforgeStart(program: *const c_char);
    pub fn kforgeRemoveOnSignal(file: *const c_char);
    pub fn kforgeKeepOnSignal(file: *const c_char);
    pub fn kforgeDiagnosticsNew(context: MlirContext, name: MlirStringRef, source: MlirStringRef) -> *mut Diagnostics;
    pub fn kforgeDiagnosticsDelete(diagnostics: *mut Diagnostics);
    pub fn kforgeDiagnosticsParse(diagnostics: *mut Diagnostics) -> MlirModule;
    pub fn kforgeDiagnosticsTake(diagnostics: *mut Diagnostics, take: TakeFn, data: *mut c_void);
    pub fn kforgeOptMain(
        argc: c_int,
        argv: *mut *mut c_char,
        writer: *mut c_void,
        begin: unsafe extern "C" fn(*mut c_void, *const c_char) -> *const c_char,
        end: unsafe extern "C" fn(*mut c_void, bool) -> bool,
    ) -> c_int;
    pub fn kforgeLspMain(argc: c_int, argv: *mut *mut c_char) -> c_int;
    pub fn kforgeReduceMain(argc: c_int, argv: *mut *mut c_char) -> c_int;
    pub fn kforgeResourceData(attribute: MlirAttribute, length: *mut usize) -> *const u8;
    pub fn kforgeAttributeIsExtern(attribute: MlirAttribute) -> bool;
    pub fn kforgeTypeIsQuant(ty: MlirType) -> bool;
    pub fn kforgeQuantFormat(ty: MlirType) -> MlirStringRef;
    pub fn kforgeQuantRows(ty: MlirType) -> i64;
    pub fn kforgeQuantColumns(ty: MlirType) -> i64;
    pub fn kforgeAttributeIsKernel(attribute: MlirAttribute) -> bool;
    pub fn kforgeKernelGet(context: MlirContext, name: MlirStringRef, tile: *const i64, count: usize) -> MlirAttribute;
    pub fn kforgeKernelName(attribute: MlirAttribute) -> MlirStringRef;
    pub fn kforgeKernelTile(attribute: MlirAttribute, tile: *mut *const i64) -> usize;
}
