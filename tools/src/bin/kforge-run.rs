#![no_main]

include!("../launch.rs");
