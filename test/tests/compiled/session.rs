//! Text generation: a session gives the decoder's tokens, and continues where it stopped.

use kforge_engine::{Error, Model, Options, Sampling};

fn model() -> Model {
    Model::open("random:tiny", Options { threads: 2, keep: false, ..Options::default() }).expect("random weights")
}

fn text(session: &mut kforge_engine::Session, prompt: &str, tokens: usize) -> String {
    session.generate(prompt, tokens).expect("a prompt").collect::<Result<_, _>>().expect("a text")
}

#[test]
fn a_session_decodes_greedily() {
    let model = model();
    let tokenizer = model.checkpoint().tokenizer().expect("bytes");
    let (mut decoder, _) = model.decoder(kforge_models::Returns::Logits, 64).expect("a decoder");
    let prompt: Vec<u32> = tokenizer.bos().into_iter().chain(tokenizer.encode("hello").expect("bytes")).collect();
    let mut logits = decoder.prefill(&prompt).expect("a prompt").values.to_vec();
    let mut ids = vec![];
    while ids.len() < 12 {
        let best = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).expect("a vocabulary") as u32;
        if tokenizer.is_end(best) {
            break;
        }
        ids.push(best);
        logits = decoder.decode(best).expect("a token").values.to_vec();
    }
    let expected = tokenizer.decode(&ids).expect("text");
    let mut session = model.session(Sampling::default(), 64).expect("a session");
    assert_eq!(text(&mut session, "hello", 12), expected);
    // Again from the start, with the end of the answer pending for the text that follows.
    session.reset();
    assert_eq!(text(&mut session, "hello", 12), expected);
    assert_eq!(session.decoder().position(), prompt.len() + ids.len() - 1);
    text(&mut session, "!", 1);
    assert_eq!(session.decoder().position(), prompt.len() + ids.len() + 1);
    assert_eq!(text(&mut session, "?", 0), "");
}

#[test]
fn what_cannot_be_is_an_error() {
    let error = |result: Result<Model, Error>| result.err().expect("no model").to_string();
    let missing = error(Model::open("no-such-file.gguf", Options::default()));
    assert!(missing.starts_with("there is no file or directory 'no-such-file.gguf'"), "{missing}");
    let model = model();
    let long = model.session(Sampling::default(), 1 << 20).err().expect("too long").to_string();
    assert!(long.contains("is more than the"), "{long}");
    let hot = Sampling { temperature: f32::NAN, ..Sampling::default() };
    assert!(matches!(model.session(hot, 8), Err(Error::Request(_))));
    let mut session = model.session(Sampling::default(), 8).expect("a session");
    let full: Result<Vec<String>, Error> = session.generate("12345", 8).expect("a prompt").collect();
    assert!(full.expect_err("no room").to_string().starts_with("the context of 8 tokens is full"));
}
