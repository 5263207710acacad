//! A model in a program of one's own: `cargo run --release -p kforge-engine --example embed -- MODEL TEXT`.

use kforge_engine::{Model, Options, Result, Sampling};
use std::{env, io::Write as _};

fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "random:tiny".into());
    let text = arguments.next().unwrap_or_else(|| "The capital of France is".into());
    let model = Model::open(name, Options::default())?;
    let mut session = model.session(Sampling::default(), 128)?;
    for piece in session.generate(&text, 32)? {
        print!("{}", piece?);
        // Nothing is left to say it with where this fails.
        let _ = std::io::stdout().flush();
    }
    println!();
    Ok(())
}
