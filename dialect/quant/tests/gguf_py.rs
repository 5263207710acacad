//! Every format unpacks to the weights that gguf-py makes of the same bytes, bit for bit (`gguf_py.py` wrote them).

use kforge_quant::BlockFormat;
use serde_json::Value;

fn bytes(hex: &Value) -> Vec<u8> {
    let digits = hex.as_str().expect("a string").as_bytes().chunks_exact(2);
    digits.map(|two| u8::from_str_radix(str::from_utf8(two).expect("ASCII"), 16).expect("hexadecimal")).collect()
}

#[test]
fn weights_are_those_of_gguf_py() {
    let rows: Value = serde_json::from_str(include_str!("gguf_py.json")).expect("JSON");
    for format in BlockFormat::ALL {
        let row = &rows[format.name()];
        let blocks = bytes(&row["blocks"]);
        let expected = bytes(&row["weights"]);
        let mut weights = vec![0.0; expected.len() / 4];
        format.dequantize_row(&blocks, &mut weights).expect("whole blocks");
        let actual: Vec<u8> = weights.iter().flat_map(|weight: &f32| weight.to_le_bytes()).collect();
        assert!(!actual.is_empty() && actual == expected, "{format}");
    }
}
