//! How a module is compiled: one description of each choice, from the command line to the pass that makes it.

use crate::{Fusions, passes, tuner::Mode};
use kforge_dialect::pass::{OptionInfo, OptionValue, OptionValues, Pipeline};
use kforge_target::Target;
use std::{fmt, str::FromStr, time::Duration};

/// How a module is compiled, whatever the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Which ops share a kernel.
    pub fuse: Fusions,
    pub numerics: Numerics,
    pub tuning: Tuning,
}

impl Default for Options {
    /// Fused, exact, by rule.
    fn default() -> Self {
        Options { fuse: Fusions::ALL, numerics: Numerics::Exact, tuning: Tuning::default() }
    }
}

/// What a matrix product may do to its activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Numerics {
    /// Nothing: they stay f32.
    #[default]
    Exact,
    /// On a CPU, round them to 8 bits where the weight is quantised: the pass `quantize-activations`. On a GPU with matrix
    /// units, round them and the weights to f16 where there are many rows.
    Fast,
}

impl Numerics {
    pub fn name(self) -> &'static str {
        match self {
            Numerics::Exact => "exact",
            Numerics::Fast => "fast",
        }
    }
}

impl fmt::Display for Numerics {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Numerics {
    type Err = String;

    fn from_str(name: &str) -> Result<Numerics, String> {
        match name {
            "exact" => Ok(Numerics::Exact),
            "fast" => Ok(Numerics::Fast),
            _ => Err(format!("unknown numerics '{name}'; use exact or fast")),
        }
    }
}

/// What is asked of the tuner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Tuning {
    pub mode: Mode,
    /// Threads that the kernels will run on; 0 is one a core.
    pub threads: usize,
    /// Time that [`Mode::Incremental`] may take.
    pub budget: Duration,
}

pub const TARGET: OptionInfo = OptionInfo {
    name: "target",
    summary: "What kernels are for: host, an instruction set as avx512+vnni, avx512, avx2, sse2 or neon, or gpu and what \
              its adapter has, joined by +: f16, subgroups32, matrices, threads and bytes of a workgroup as 256x16384, and \
              buffers of a shader and their bytes as bindings8x134217728",
    default: OptionValue::Text("host"),
};

/// [`TARGET`] where only a GPU makes sense.
pub const GPU: OptionInfo = OptionInfo { default: OptionValue::Text("gpu"), ..TARGET };

pub const FUSE: OptionInfo = OptionInfo {
    name: "fuse",
    summary: "Which ops share a kernel: all, none, or some of qkv,gate-up,norm,epilogue,rope-kv,rope-attention",
    default: OptionValue::Text("all"),
};

pub const NUMERICS: OptionInfo = OptionInfo {
    name: "numerics",
    summary: "What a product may do to its activations: exact, which is nothing, or fast, which is rounding them",
    default: OptionValue::Text("exact"),
};

pub const FACTORS: OptionInfo = OptionInfo {
    name: "factors",
    summary: "What a GPU's matrix units may round the factors of a product to: f32, which is nothing, or f16",
    default: OptionValue::Text("f32"),
};

pub const MODE: OptionInfo = OptionInfo {
    name: "mode",
    summary: "What is asked of the tuner: off, cached-only, tune or incremental",
    default: OptionValue::Text("off"),
};

pub const THREADS: OptionInfo = OptionInfo {
    name: "threads",
    summary: "Threads that the kernels will run on, for the tuner; 0 is one a core",
    default: OptionValue::Integer(0),
};

pub const BUDGET: OptionInfo = OptionInfo {
    name: "budget",
    summary: "Milliseconds that mode=incremental may measure",
    default: OptionValue::Integer(2000),
};

/// The options of a pipeline that compiles for a CPU, and of one for a GPU.
pub const OF_CPUS: &[OptionInfo] = &[TARGET, FUSE, NUMERICS, MODE, THREADS, BUDGET];
pub const OF_GPUS: &[OptionInfo] = &[GPU, FUSE, NUMERICS, MODE, THREADS, BUDGET];

impl Options {
    /// Those that the options of a pipeline say.
    ///
    /// # Errors
    /// The value that is none.
    pub fn of(values: &impl OptionValues) -> Result<Options, String> {
        Ok(Options {
            fuse: values.text(FUSE.name).parse()?,
            numerics: values.text(NUMERICS.name).parse()?,
            tuning: Tuning::of(values)?,
        })
    }

    /// From tensors to `transformer.fused` regions.
    pub fn fusion(&self, target: Target) -> Pipeline {
        let decompose = Pipeline::default()
            // Functions may call functions. The inliner's own clean-up would come twice.
            .on_module(&["inline"])
            .with(vec![("default-pipeline", String::new())])
            .on_functions(&crate::DECOMPOSE)
            // Canonicalisation folds what is computed of constants alone, so constants are outlined after it.
            .on_module(&[passes::outline_constants::INFO.name]);
        let rounds = self.numerics == Numerics::Fast && !target.is_gpu();
        // After the layers have been decomposed, before they are grouped.
        let rounding: &[_] = if rounds { &[passes::quantize_activations::INFO.name] } else { &[] };
        decompose
            .on_functions(rounding)
            .on_functions(&self.fuse.passes(target))
            .on_functions(&[passes::outline_groups::INFO.name])
    }

    /// From `transformer.fused` regions to kernels with tiles.
    pub fn selection(&self, target: Target) -> Pipeline {
        let mut options = vec![(TARGET.name, target.to_string())];
        if self.numerics == Numerics::Fast && target.is_gpu() {
            options.push((FACTORS.name, "f16".into()));
        }
        options.extend(self.tuning.options());
        Pipeline::default()
            .on_module(&[passes::select_kernels::INFO.name])
            .with(options)
            .on_functions(&[passes::tile::INFO.name])
    }
}

impl Tuning {
    /// What the options of a pass or a pipeline say.
    ///
    /// # Errors
    /// The value that is none.
    pub fn of(values: &impl OptionValues) -> Result<Tuning, String> {
        let natural = |option: &OptionInfo| {
            u64::try_from(values.integer(option.name)).map_err(|_| format!("{} must not be negative", option.name))
        };
        Ok(Tuning {
            mode: values.text(MODE.name).parse()?,
            threads: usize::try_from(natural(&THREADS)?).map_err(|_| "threads are too many".to_owned())?,
            budget: Duration::from_millis(natural(&BUDGET)?),
        })
    }

    /// What the pass is given, where that is not its default.
    fn options(&self) -> Vec<(&'static str, String)> {
        let mode = (MODE.name, self.mode.to_string());
        let threads = (THREADS.name, self.threads.to_string());
        let budget = (BUDGET.name, self.budget.as_millis().to_string());
        match self.mode {
            Mode::Off => vec![],
            Mode::CachedOnly | Mode::Tune => vec![mode, threads],
            Mode::Incremental => vec![mode, threads, budget],
        }
    }
}
