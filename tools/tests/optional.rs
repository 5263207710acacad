//! Tests that need what not every machine has: see `kforge_test::need`.

#[path = "optional/aarch64.rs"]
mod aarch64;
#[path = "optional/browser.rs"]
mod browser;
#[path = "optional/checkpoint.rs"]
mod checkpoint;
#[path = "optional/model.rs"]
mod model;
#[path = "optional/mounts.rs"]
mod mounts;
#[path = "tuner/place.rs"]
mod place;
#[path = "optional/scripts.rs"]
mod scripts;

use kforge_test::need::{Need, trial};
use libtest_mimic::Arguments;
use std::process::ExitCode;

/// Trials of the functions of a module.
macro_rules! trials {
    ($needs:expr, $module:ident: $($test:ident),+ $(,)?) => {
        vec![$(trial(concat!(stringify!($module), "::", stringify!($test)), $needs, $module::$test)),+]
    };
}

fn main() -> ExitCode {
    let trials = [
        trials!(&[Need::Aarch64], aarch64: a_kernel_runs_on_aarch64),
        trials!(&[Need::Chromium], browser: it_takes_the_test_files, it_takes_random_kernels, it_refuses_what_is_wrong),
        trials!(&[Need::Model], checkpoint: the_config_is_right, tokens_are_those_of_transformers, its_chat_template_renders),
        trials!(
            &[Need::Model],
            model: it_decodes_token_by_token,
            it_decodes_as_the_reference_says,
            it_decodes_on_a_gpu_as_the_reference_says,
            it_decodes_with_caches_of_8_bits,
            it_decodes_in_fast_numerics,
        ),
        trials!(&[Need::Mount], mounts: a_read_only_directory_is_read, a_full_disk_loses_nothing),
        trials!(&[Need::Python], scripts: upstream_lit_says_what_does_not_agree),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials.into_iter().flatten().collect()).exit_code()
}
