use crate::Common;
use clap::Args;
#[derive(Args, Debug)]
pub struct Options { file: Option<std::path::PathBuf> }
pub fn run(_: &Common, _: &Options) -> anyhow::Result<std::process::ExitCode> { anyhow::bail!("x") }
