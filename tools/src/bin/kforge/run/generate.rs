//! `kforge-run generate`: continue a text.

use crate::run::{Common, compare_with, model, npy};
use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use jiff::Zoned;
use kforge_checkpoint::{Conversation, Tokenizer};
use kforge_models::Returns;
use kforge_program::Element;
use kforge_remote::{Comparison, Side};
use kforge_runtime::{
    Decoder, Logits,
    sample::{Sampler, Sampling},
};
use kforge_tools::{bounds, output};
use serde::Serialize;
use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{self, IsTerminal, Read},
    ops::Bound,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

#[derive(Args, Debug)]
pub struct Options {
    /// A GGUF file, a safetensors file or directory, a Hugging Face repository ORG/NAME, or random:tiny
    #[arg(long, value_name = "MODEL")]
    model: Option<OsString>,
    /// The text to continue; without it and its alternatives, standard input
    #[arg(long, group = "source", value_name = "TEXT", allow_hyphen_values = true)]
    prompt: Option<String>,
    /// A file with the text to continue, taken as it is, with the newline at its end; - is standard input
    #[arg(long, group = "source", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Token ids to continue, instead of a text
    #[arg(long, group = "source", value_delimiter = ',', value_name = "ID,...")]
    prompt_ids: Option<Vec<u32>>,
    /// Most tokens to generate
    #[arg(long, default_value_t = 128, value_parser = bounds::count())]
    max_tokens: usize,
    /// Tokens that the KV cache can hold; by default the prompt and --max-tokens
    #[arg(long, value_name = "TOKENS", value_parser = bounds::size())]
    ctx: Option<usize>,
    #[command(flatten)]
    cache: model::Cache,
    /// Randomness; 0 takes the likeliest token
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true, value_parser = bounds::float(0f32..))]
    temperature: f32,
    /// Sample among the K likeliest tokens; 0 is all
    #[arg(long, default_value_t = 0)]
    top_k: usize,
    /// Sample among the likeliest tokens whose probabilities sum to P
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true, value_parser = bounds::float(0f32..=1.0))]
    top_p: f32,
    /// Sample among tokens of at least this share of the likeliest's probability
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true, value_parser = bounds::float(0f32..=1.0))]
    min_p: f32,
    /// Divide the logits of tokens that are in the context already; 1 is off
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true,
          value_parser = bounds::float((Bound::Excluded(0f32), Bound::Unbounded)))]
    repeat_penalty: f32,
    /// Seed of the random numbers
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Give the prompt as a user's message, in the model's chat template
    #[arg(long)]
    chat: bool,
    /// Print one JSON object instead of the text
    #[arg(long)]
    json: bool,
    /// Write the logits that each token was chosen from, [steps, vocabulary]
    #[arg(long, value_name = "FILE.npy")]
    dump_logits: Option<PathBuf>,
    #[command(flatten)]
    compare: compare_with::CompareWith,
}

#[derive(Serialize)]
struct Report {
    prompt_ids: Vec<u32>,
    ids: Vec<u32>,
    text: String,
    timings: Timings,
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<Comparison>,
}

/// Seconds, and tokens a second.
#[derive(Serialize)]
struct Timings {
    load_s: f64,
    compile_s: f64,
    first_token_s: f64,
    prefill_tokens_per_s: f64,
    decode_tokens_per_s: f64,
}

pub fn run(common: &Common, options: &Options, default: &str) -> Result<ExitCode> {
    let begin = Instant::now();
    let name = options.model.as_deref().unwrap_or(OsStr::new(default));
    let sampler = Sampler::new(Sampling {
        temperature: options.temperature,
        top_k: options.top_k,
        top_p: options.top_p,
        min_p: options.min_p,
        repeat_penalty: options.repeat_penalty,
        seed: options.seed,
    });
    let mut sampler = sampler.map_err(anyhow::Error::msg)?;
    options.dump_logits.as_deref().map_or(Ok(()), output::check_place)?;
    let prompt = Prompt::read(options)?;
    let comparison = match (options.compare.server()?, &prompt) {
        (Some(server), Prompt::Text(text)) => {
            let request = compare_with::request(text, options.max_tokens, options.temperature, options.seed);
            Some((server, request))
        }
        _ => None,
    };
    if comparison.is_some() && !options.chat {
        errln!("kforge-run: warning: ours continues the text, a server answers it; --chat asks both alike");
    }
    let mut model = model::open(common, name)?;
    if let Some(name) = name.to_str().filter(|name| name.starts_with("random:")) {
        errln!("kforge-run: the weights of {name} are random: the text means nothing");
    }
    let tokenizer = model.checkpoint().tokenizer()?;
    for warning in tokenizer.warnings() {
        errln!("kforge-run: warning: {warning}");
    }
    let prompt_ids = prompt.ids(options.chat, &tokenizer)?;
    if prompt_ids.is_empty() {
        bail!("the prompt is empty; give at least one token");
    }
    let longest = model.checkpoint().config().context;
    let context = options.ctx.unwrap_or_else(|| (prompt_ids.len() + options.max_tokens).min(longest));
    if context > longest {
        bail!("--ctx {context} is more than the {longest} tokens that the model was made for; give at most those");
    }
    // The remedy for a context that is too small.
    let way_out = if context < longest {
        format!("raise --ctx, up to the {longest} tokens that the model was made for")
    } else {
        "the model was made for no more; shorten the prompt".to_owned()
    };
    if prompt_ids.len() > context {
        bail!("the prompt has {} tokens, but the context {context}; {way_out}", prompt_ids.len());
    }
    let returns = match sampler.candidates() {
        Some(k) if options.dump_logits.is_none() => Returns::Best(k.min(model.checkpoint().config().vocab)),
        _ => Returns::Logits,
    };
    let (mut decoder, ready) = model::decoder(common, &mut model, options.cache, returns, context)?;

    prompt_ids.iter().for_each(|id| sampler.see(*id));
    let mut stream = tokenizer.stream_after(prompt_ids.last().copied())?;
    let (mut ids, mut text, mut dumped) = (vec![], String::new(), vec![]);
    let mut show = |piece: &str| -> Result<()> {
        text.push_str(piece);
        if options.json {
            return Ok(());
        }
        output::print(piece.as_bytes())
    };
    let mut choose = |logits: Logits| {
        if options.dump_logits.is_some() {
            dumped.extend_from_slice(logits.values);
        }
        let id = sampler.sample(logits).context("the model gave no usable logits: all are NaN")?;
        sampler.see(id);
        anyhow::Ok(id)
    };
    let prefill_begin = Instant::now();
    let mut logits = decoder.prefill(&prompt_ids)?;
    let prefill = prefill_begin.elapsed();
    let mut first_token = begin.elapsed();
    let mut decode = Duration::ZERO;
    let mut finish = "length";
    while ids.len() < options.max_tokens {
        let id = choose(logits)?;
        if ids.is_empty() {
            first_token = begin.elapsed();
        }
        ids.push(id);
        if tokenizer.is_end(id) {
            finish = "stop";
            break;
        }
        if let Some(piece) = stream.push(id)? {
            show(&piece)?;
        }
        if ids.len() == options.max_tokens {
            break;
        }
        if decoder.position() == decoder.context() {
            finish = "context";
            break;
        }
        let step = Instant::now();
        logits = decoder.decode(id)?;
        decode += step.elapsed();
    }
    let total = prefill_begin.elapsed();
    show(&stream.finish()?)?;
    if !options.json {
        output::print(b"\n")?;
    }
    if finish == "context" {
        errln!("kforge-run: stopped: the context of {context} tokens is full; {way_out}");
    }
    if let Some(path) = &options.dump_logits {
        let dims = vec![ids.len(), model.checkpoint().config().vocab];
        let bytes = dumped.iter().flat_map(|v| v.to_le_bytes()).collect();
        npy::write(path, &npy::Array { dims, element: Element::F32, bytes })?;
    }
    let steps = ids.len().saturating_sub(1);
    let rate = |tokens: usize, time: Duration| if time.is_zero() { 0.0 } else { tokens as f64 / time.as_secs_f64() };
    let timings = Timings {
        load_s: ready.load.as_secs_f64(),
        compile_s: ready.compile.as_secs_f64(),
        first_token_s: first_token.as_secs_f64(),
        prefill_tokens_per_s: rate(prompt_ids.len(), prefill),
        decode_tokens_per_s: rate(steps, decode),
    };
    let mut report = Report { prompt_ids, ids, text, timings, comparison: None };
    if !options.json {
        summary(&decoder, &report.timings, report.prompt_ids.len(), steps);
    }
    let compared = comparison.map_or(Ok(()), |(server, request)| -> Result<()> {
        let ours = Side::local(
            format!("{} here", name.display()),
            &report.text,
            report.ids.len(),
            first_token.saturating_sub(prefill_begin.duration_since(begin)),
            total,
            finish,
        );
        let comparison = compare_with::compare(&server, &request, ours)?;
        if !options.json {
            outln!("{comparison}")?;
        }
        report.comparison = Some(comparison);
        Ok(())
    });
    // Our answer is printed even if the server fails.
    if options.json {
        outln!("{}", serde_json::to_string(&report)?)?;
    }
    compared.map(|()| ExitCode::SUCCESS)
}

fn summary(decoder: &Decoder, timings: &Timings, prompt: usize, steps: usize) {
    errln!(
        "\n[{}; prompt {prompt} tokens at {:.1}/s, {steps} decoded at {:.1}/s; first token after {:.2} s]",
        decoder.executor().machine(),
        timings.prefill_tokens_per_s,
        timings.decode_tokens_per_s,
        timings.first_token_s,
    );
}

/// The prompt.
enum Prompt {
    Ids(Vec<u32>),
    Text(String),
}

impl Prompt {
    /// Reads it from the source given by the options.
    fn read(options: &Options) -> Result<Prompt> {
        if let Some(ids) = &options.prompt_ids {
            return Ok(Prompt::Ids(ids.clone()));
        }
        if let Some(text) = &options.prompt {
            return Ok(Prompt::Text(text.clone()));
        }
        let file = options.file.as_deref().filter(|file| file.as_os_str() != "-");
        if options.file.is_none() && io::stdin().is_terminal() {
            bail!(
                "there is no prompt; give --prompt TEXT, --file FILE, --prompt-ids ID,... or a text on standard input"
            );
        }
        let (place, bytes) = match file {
            Some(file) => (file.display().to_string(), fs::read(file)),
            None => {
                let mut bytes = Vec::new();
                ("standard input".to_owned(), io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes))
            }
        };
        let bytes = bytes.with_context(|| format!("the prompt cannot be read from {place}"))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            anyhow!("the prompt in {place} is not valid UTF-8 at byte {at}; convert it to UTF-8")
        })?;
        Ok(Prompt::Text(text))
    }

    fn ids(self, chat: bool, tokenizer: &Tokenizer) -> Result<Vec<u32>> {
        match self {
            Prompt::Ids(ids) => Ok(ids),
            Prompt::Text(text) if chat => {
                let text = tokenizer.chat(&Conversation::of_user(&text), Zoned::now().datetime())?;
                Ok(tokenizer.encode(&text)?)
            }
            Prompt::Text(text) => Ok(tokenizer.bos().into_iter().chain(tokenizer.encode(&text)?).collect()),
        }
    }
}
