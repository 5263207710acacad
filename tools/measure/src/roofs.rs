//! What a machine can do at most.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// 1e9 operations a second that this machine can do at most, a multiply-add being two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Peaks {
    pub f32_gflops: f64,
    /// The instruction that gave it.
    pub f32_instruction: String,
    /// Of 8-bit integers summed in 32 bits; null of a GPU, whose kernels multiply none.
    pub int8_gops: Option<f64>,
    pub int8_instruction: Option<String>,
}

impl Peaks {
    /// The greater of both rates.
    pub fn raise(&mut self, again: &Peaks) {
        self.f32_gflops = self.f32_gflops.max(again.f32_gflops);
        self.int8_gops = self.int8_gops.zip(again.int8_gops).map(|(best, again)| best.max(again));
    }
}

/// The limits that kernels of the threads in use, or of a GPU, are set against: 1e9 operations or bytes a second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Roofs {
    pub f32_gflops: f64,
    /// None of a GPU, whose kernels multiply no integers.
    pub int8_gops: Option<f64>,
    /// Read from memory; of a GPU copied, read and written.
    pub read_gb_s: f64,
}

impl Roofs {
    /// The greater of each.
    pub fn max(self, other: Roofs) -> Roofs {
        Roofs {
            f32_gflops: self.f32_gflops.max(other.f32_gflops),
            int8_gops: self.int8_gops.zip(other.int8_gops).map(|(a, b)| a.max(b)),
            read_gb_s: self.read_gb_s.max(other.read_gb_s),
        }
    }

    pub fn scaled(self, by: f64) -> Roofs {
        Roofs {
            f32_gflops: self.f32_gflops * by,
            int8_gops: self.int8_gops.map(|rate| rate * by),
            read_gb_s: self.read_gb_s * by,
        }
    }

    /// Whether each can be the rate of a machine.
    pub fn is_positive(&self) -> bool {
        let rates = [Some(self.f32_gflops), self.int8_gops, Some(self.read_gb_s)];
        rates.into_iter().flatten().all(|rate| rate.is_finite() && rate > 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roofs_are_raised_together() {
        let cpu = Roofs { f32_gflops: 1.0, int8_gops: Some(4.0), read_gb_s: 3.0 };
        let gpu = Roofs { int8_gops: None, f32_gflops: 2.0, read_gb_s: 1.0 };
        assert_eq!(cpu.max(gpu), Roofs { f32_gflops: 2.0, int8_gops: None, read_gb_s: 3.0 });
        assert_eq!(cpu.scaled(2.0), Roofs { f32_gflops: 2.0, int8_gops: Some(8.0), read_gb_s: 6.0 });
        assert!(gpu.is_positive() && !Roofs { read_gb_s: f64::NAN, ..gpu }.is_positive());
        assert!(!Roofs { int8_gops: Some(0.0), ..cpu }.is_positive());
    }
}
