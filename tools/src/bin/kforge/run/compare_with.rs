//! `kforge-run generate --compare-with URL`: compares our answer with a server's.

use anyhow::Result;
use clap::Args;
use kforge_remote::{Comparison, Limits, Message, Request, Server, Side};

#[derive(Args, Debug)]
pub struct CompareWith {
    /// Ask an OpenAI-compatible server, such as http://localhost:8080/v1, the same and print both answers; its API key is
    /// taken from KFORGE_COMPARE_API_KEY
    #[arg(long, group = "server", value_name = "URL", conflicts_with_all = NOT_SENT)]
    compare_with: Option<String>,
    /// Ask Cerebras; the API key is taken from CEREBRAS_API_KEY
    #[arg(long, group = "server", conflicts_with_all = NOT_SENT)]
    compare_with_cerebras: bool,
    /// The server's model; by default the only one that it has, and gpt-oss-120b at Cerebras
    #[arg(long, requires = "server", value_name = "NAME")]
    compare_model: Option<String>,
}

/// Options that are not sent to a server, or that it would not understand: its answer would not be comparable.
const NOT_SENT: [&str; 5] = ["prompt_ids", "top_k", "top_p", "min_p", "repeat_penalty"];

impl CompareWith {
    /// The server, if one is to be asked.
    ///
    /// # Errors
    /// If its URL or key is invalid, or a key is missing.
    pub fn server(&self) -> Result<Option<Server>> {
        let model = self.compare_model.clone();
        Ok(match &self.compare_with {
            Some(url) => Some(Server::from_env(url, model)?),
            None if self.compare_with_cerebras => Some(Server::cerebras(model)?),
            None => None,
        })
    }
}

/// Asks, and compares the answer with ours.
///
/// # Errors
/// One line, if the server gives no complete answer.
pub fn compare(server: &Server, request: &Request, ours: Side) -> Result<Comparison> {
    errln!("kforge-run: waiting for {}", server.base());
    let answer = server.ask(request, &Limits::default())?;
    if answer.retries > 0 {
        errln!("kforge-run: warning: {} was busy: attempt {}", server.base(), answer.retries + 1);
    }
    Ok(Comparison::new(ours, Side::remote(server, &answer)))
}

/// The request to the server. A seed matters only for sampling.
pub fn request(prompt: &str, max_tokens: usize, temperature: f32, seed: u64) -> Request {
    Request {
        messages: vec![Message::user(prompt)],
        max_tokens: Some(max_tokens),
        temperature: Some(temperature),
        seed: (temperature > 0.0).then_some(seed),
        stop: vec![],
    }
}
