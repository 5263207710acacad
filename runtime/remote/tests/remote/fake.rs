//! A server that sends exactly the bytes that a test wants.

use kforge_remote::{Answer, Error, Key, Kind, Limits, Message, Request, SERVER_KEY, Server};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

pub const KEY: &str = "sk-0123456789abcdef";

/// What is done with one connection once its request is read. At the end the connection is closed.
#[derive(Clone)]
pub enum Step {
    Send(Vec<u8>),
    /// Waits until what was sent has surely been read on its own.
    Pause,
    /// Keeps the connection open until the client closes it.
    Hold,
    /// Sends the same until the client closes the connection, pausing in between.
    Repeat(Vec<u8>, Duration),
}

pub struct Fake {
    pub url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// Serves one connection for each list of steps, in order, and then no more.
    pub fn start(connections: Vec<Vec<Step>>) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        thread::spawn(move || {
            for steps in connections {
                let (stream, _) = listener.accept().unwrap();
                seen.lock().unwrap().push(read_request(&stream));
                thread::spawn(move || play(stream, &steps));
            }
        });
        Fake { url, requests }
    }

    /// The address of nobody: the first port, which is tcpmux's, serves no machine any more. One that was free a moment
    /// ago may be another test's by now.
    pub fn nowhere() -> Fake {
        Fake { url: "http://127.0.0.1:1/v1".to_owned(), requests: Arc::default() }
    }

    /// One that answers each connection with these bytes.
    pub fn sending(responses: &[&[u8]]) -> Fake {
        Fake::start(responses.iter().map(|bytes| vec![Step::Send(bytes.to_vec())]).collect())
    }

    pub fn server(&self) -> Server {
        Server::new(&self.url, Some(Key::new(SERVER_KEY, KEY).unwrap()), Some("m".to_owned())).unwrap()
    }

    pub fn ask(&self) -> Result<Answer, Error> {
        self.ask_within(&PATIENT)
    }

    pub fn ask_within(&self, limits: &Limits) -> Result<Answer, Error> {
        self.server().ask(&question(), limits)
    }

    /// Head and body of each request so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Asserts that the error is this one line, with `URL` for the server's, and that no part of the key is in it.
    pub fn assert_error(&self, result: Result<Answer, Error>, kind: Kind, line: &str) {
        let error = result.unwrap_err();
        assert_eq!(error.to_string().replace(&self.url, "URL"), line);
        assert_eq!(error.kind(), kind);
        assert!(!format!("{error:?}").contains(&KEY[3..]), "{error:?}");
    }
}

/// Limits that no test reaches, but for the retries.
pub const PATIENT: Limits = Limits {
    connect: Duration::from_secs(20),
    first_token: Duration::from_secs(20),
    between_tokens: Duration::from_secs(20),
    total: Duration::from_secs(60),
    retries: 2,
    backoff: Duration::from_millis(20),
};

pub fn question() -> Request {
    Request { messages: vec![Message::user("hi")], max_tokens: Some(8), ..Request::default() }
}

/// A response whose body ends with the connection.
pub fn response(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n{body}").into_bytes()
}

pub fn json(status: &str, body: &str) -> Vec<u8> {
    response(status, "Content-Type: application/json\r\n", body)
}

pub fn stream(body: &str) -> Vec<u8> {
    response("200 OK", "Content-Type: text/event-stream; charset=utf-8\r\n", body)
}

/// An event with a piece of text.
pub fn piece(text: &str) -> String {
    let text = serde_json::to_string(text).unwrap();
    format!("data: {{\"model\":\"m-1\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":{text}}}}}]}}\n\n")
}

pub const STOP: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
pub const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n";
pub const DONE: &str = "data: [DONE]\n\n";

/// A right answer: `Hello, world`.
pub fn hello() -> Vec<u8> {
    stream(&[&piece("Hello, "), &piece("world"), STOP, USAGE, DONE].concat())
}

fn read_request(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let (mut request, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        request.push_str(&line);
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    request + &String::from_utf8(body).unwrap()
}

/// A client that has seen enough closes the connection, so failures to send end the play.
fn play(mut stream: TcpStream, steps: &[Step]) {
    for step in steps {
        match step {
            Step::Send(bytes) => {
                if stream.write_all(bytes).is_err() {
                    return;
                }
            }
            Step::Pause => thread::sleep(Duration::from_millis(30)),
            Step::Hold => {
                let _ = stream.read(&mut [0]);
            }
            Step::Repeat(bytes, pause) => {
                while stream.write_all(bytes).is_ok() {
                    thread::sleep(*pause);
                }
            }
        }
    }
}
