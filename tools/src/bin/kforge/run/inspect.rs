//! `kforge-run inspect`: the launch program of a module, or the metadata and tensors of a checkpoint.

use crate::run::{Common, Target, compile, model};
use anyhow::{Result, bail};
use clap::Args;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use kforge_program::{Buffer, Function, Program};
use kforge_tools::source::ModuleFile;
use std::{ffi::OsString, process::ExitCode};

#[derive(Args, Debug)]
pub struct Options {
    /// A module, as text (.mlir, or - for standard input) or bytecode; a GGUF file, a safetensors file or directory, or
    /// another model as of --model
    file: OsString,
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
}

pub fn run(common: &Common, options: &Options) -> Result<ExitCode> {
    if ModuleFile::is_one(options.file.as_ref()) {
        let module = ModuleFile::read(options.file.as_ref())?;
        let program = match common.target {
            Target::Cpu => compile::compile(common, module.source())?.program,
            Target::Gpu => {
                let adapter = kforge_tools::gpu::adapter(common.adapter.as_deref())?;
                compile::compile_gpu(common, module.source(), adapter)?.program
            }
            _ => bail!("inspect shows a launch program of the CPU or a GPU; give --target cpu or gpu"),
        };
        if options.json {
            outln!("{}", serde_json::to_string_pretty(&program)?)?;
        } else {
            program.functions.iter().try_for_each(|f| show(&program, f))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let description = model::open(common, &options.file)?.checkpoint().describe();
    if options.json {
        outln!("{}", serde_json::to_string_pretty(&description)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut metadata = table(&["key", "value"]);
    for row in &description.metadata {
        let value: String = row.value.chars().take(80).collect();
        metadata.add_row([row.key.clone(), value]);
    }
    outln!("{metadata}")?;
    if !description.unread.is_empty() {
        let keys: Vec<&str> = description.unread.iter().map(|row| row.key.as_str()).collect();
        outln!("not read: {}", keys.join(", "))?;
    }
    let mut tensors = table(&["tensor", "shape", "type", "bytes"]);
    for row in &description.tensors {
        let dims: Vec<String> = row.dims.iter().map(usize::to_string).collect();
        tensors.add_row([row.name.clone(), dims.join(" x "), row.ty.clone(), row.bytes.to_string()]);
    }
    outln!("{tensors}")?;
    Ok(ExitCode::SUCCESS)
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(header.iter().copied());
    table
}

fn show(program: &Program, function: &Function) -> Result<()> {
    let inputs: Vec<String> = function.inputs.iter().map(|i| i.ty.to_string()).collect();
    let outputs: Vec<String> = function.outputs.iter().map(|o| o.ty.to_string()).collect();
    outln!("{}({}) -> ({}), arena of {} bytes", function.name, inputs.join(", "), outputs.join(", "), function.arena)?;
    for (i, symbol) in function.symbols.iter().enumerate() {
        outln!("  s{i} = {}", symbol.name)?;
    }
    let mut launches = table(&["", "kernel", "computes", "tasks", "buffers"]);
    for (i, launch) in function.launches.iter().enumerate() {
        let kernel = &program.kernels[launch.kernel];
        let buffers: Vec<String> = launch
            .buffers
            .iter()
            .zip(&kernel.params)
            .map(|(b, access)| format!("{}{}", if access.writes() { "→" } else { "" }, buffer(program, *b)))
            .collect();
        let barrier = if launch.barrier { "┄" } else { "" };
        launches.add_row([
            format!("{barrier}{i}"),
            kernel.name.clone(),
            kernel.summary.clone(),
            launch.tasks.to_string(),
            buffers.join(" "),
        ]);
    }
    outln!("{launches}")?;
    outln!("┄ waits for everything before it; → is written\n")
}

fn buffer(program: &Program, buffer: Buffer) -> String {
    match buffer {
        Buffer::Input(i) => format!("in{i}"),
        Buffer::Output(i) => format!("out{i}"),
        Buffer::Local(i) => format!("t{i}"),
        Buffer::Global(i) => program.globals.get(i).map_or_else(|| "?".into(), |g| g.name.clone()),
    }
}
