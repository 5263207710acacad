//! A client of OpenAI-compatible chat servers, to compare our answers with theirs.
//!
//! [`Server::ask`] sends one chat request and reads the streamed answer. Nothing that a server sends is trusted: lines,
//! bodies and times are bounded, redirects are not followed, and every failure is an [`Error`] of one line. The API key
//! leaves this crate only in the `Authorization` header: it is removed from messages and answers, also where a server
//! echoes it.
//!
//! | module | part |
//! |---|---|
//! | `server` | base URL, key and model; which model to ask |
//! | `request` | the request and its [`Limits`] |
//! | `ask` | attempts and retries |
//! | `http` | one HTTP exchange on a thread of its own |
//! | `events` | server-sent events, from bytes |
//! | `answer` | the chunks of a stream, put together |
//! | `key` | the API key, and its removal from text |
//! | `error` | errors of one line |
//! | `agreement` | how far two texts agree |
//! | `comparison` | both sides, as JSON and as a table |

mod agreement;
mod answer;
mod ask;
mod comparison;
mod error;
mod events;
mod http;
mod key;
mod request;
mod server;

pub use agreement::{Agreement, agreement};
pub use answer::Answer;
pub use comparison::{Comparison, Side};
pub use error::{Error, Kind};
pub use key::Key;
pub use request::{Limits, Message, Request, Role};
pub use server::{CEREBRAS_KEY, CEREBRAS_MODEL, CEREBRAS_URL, SERVER_KEY, Server};
