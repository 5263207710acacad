//! The largest elements of rows, exactly: order of equal elements, zeros of both signs, infinities and NaN.

use crate::text::{ELEMENTS, tensor};
use kforge_reference::{Element, Tensor, random};
use kforge_test::run::{Case, Suite};

/// The k largest of rows of a length; `used` results are returned.
fn top_k(rows: &str, length: usize, k: usize, element: &str, used: &[&str]) -> Case {
    let (x, v, i) = (tensor(rows, length, element), tensor(rows, k, element), tensor(rows, k, "i32"));
    let ty = |result: &&str| if *result == "%v" { v.as_str() } else { i.as_str() };
    let (types, used) = (used.iter().map(ty).collect::<Vec<_>>().join(", "), used.join(", "));
    let function = format!(
        "(%x: {x}) -> ({types}) {{
          %v, %i = transformer.top_k %x : {x} -> {v}, {i}
          return {used} : {types}
        }}"
    );
    Case::new(format!("{k} of {rows} x {length} {element}"), function).slack(0.0)
}

/// Rows that test the order: random numbers, few different ones, all equal, ascending, and NaN and infinities.
fn rows(kinds: &[usize], length: usize, element: Element) -> Tensor {
    let row = |(seed, kind): (usize, &usize)| {
        let values = random::uniform(seed as u64, &[length], Element::F32).expect("numbers").to_f32();
        let special = [f32::NAN, f32::NEG_INFINITY, -0.0, 0.0, f32::INFINITY, f32::NAN, -1.0, 1e-40];
        let value = |(i, x): (usize, &f32)| match kind {
            0 => *x,
            1 => (x * 4.0).round() / 4.0,
            2 => -1.5,
            3 => i as f32 / length as f32,
            4 => special[(x.to_bits() >> 5) as usize % special.len()],
            // Fewer numbers than k.
            _ => {
                if i + 1 == length {
                    f32::NEG_INFINITY
                } else {
                    f32::NAN
                }
            }
        };
        values.iter().enumerate().map(value).collect::<Vec<f32>>()
    };
    let values = kinds.iter().enumerate().flat_map(row).collect();
    Tensor::from_f32([kinds.len(), length], element, values).expect("rows")
}

#[test]
fn the_greatest_elements() {
    let both = ["%v", "%i"].as_slice();
    let mut suite = Suite::default();
    // One element, less than a part of a row, about one part, about two, many, and lengths that are not multiples of
    // four.
    for (i, length) in [1, 3, 17, 511, 512, 513, 1028, 2047, 2048, 2052, 5001].into_iter().enumerate() {
        for k in [1, 2, 7, 64, 256].into_iter().filter(|k| *k <= length) {
            suite.cases.push(top_k("?", length, k, ELEMENTS[(i + k) % 3], both).rows(&[6, 0]));
        }
        suite.cases.push(top_k("1", length, 1, "f32", both).sizes(&[]));
    }
    for used in [["%v"], ["%i"]] {
        suite.cases.push(top_k("?", 1028, 1, "f32", &used).rows(&[6]));
        suite.cases.push(top_k("?", 40, 40, "f32", &used).rows(&[6]));
    }
    let inputs = suite.inputs().into_iter().map(|calls| {
        let special = |inputs: Vec<Tensor>| {
            let (count, length) = (inputs[0].shape()[0], inputs[0].shape()[1]);
            let kinds: Vec<usize> = (0..count).collect();
            vec![rows(if count == 1 { &[1] } else { &kinds }, length, inputs[0].element())]
        };
        calls.into_iter().map(special).collect()
    });
    suite.check_on(&inputs.collect::<Vec<_>>());
}

/// A vocabulary, split over workgroups on a GPU.
#[test]
fn the_greatest_of_a_vocabulary() {
    let length = 49_152;
    let suite = Suite::new([1, 50].map(|k| top_k("?", length, k, "f32", &["%v", "%i"]).rows(&[3])));
    let inputs = vec![vec![vec![rows(&[0, 1, 4], length, Element::F32)]]; 2];
    suite.check_on(&inputs);
}
