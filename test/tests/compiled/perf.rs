//! The map from which `perf` reads names of generated kernels.

use kforge_lowering::compile::{self, Machine, Options};
use kforge_runtime::{Object, perf};

const SOURCE: &str = "
func.func @f(%x: tensor<1x64xf32>, %w: tensor<40x64xf32>) -> tensor<1x40xf32> {
  %0 = transformer.softmax %x : tensor<1x64xf32>
  %1 = transformer.linear %0, %w : tensor<1x64xf32>, tensor<40x64xf32> -> tensor<1x40xf32>
  return %1 : tensor<1x40xf32>
}
";

#[test]
fn every_kernel_is_in_the_map_where_its_code_is() {
    let target = Machine::host(None).expect("this machine");
    let compiled = compile::compile(SOURCE, &target, Options::default()).expect("the module compiles");
    let object = Object::load(&compiled.code).expect("the object loads");
    let symbols = perf::symbols(&object, &compiled.code).expect("the object has symbols");

    for kernel in &compiled.program.kernels {
        let address = object.kernel(&kernel.name).expect("a kernel of the program") as usize as u64;
        let entry = symbols.iter().find(|s| s.name == kernel.name).expect("an entry for each kernel");
        assert_eq!(entry.start, address);
        let code = kernel.name.trim_start_matches("kforge_");
        assert!(symbols.iter().any(|s| s.name == code && s.bytes > 32), "{code} in {symbols:?}");
    }
    assert!(symbols.iter().all(|s| s.bytes > 0), "{symbols:?}");
    assert!(symbols.windows(2).all(|pair| pair[0].start + pair[0].bytes <= pair[1].start), "{symbols:?}");

    // The file has the format that perf parses, and the same symbols.
    perf::add(&symbols[..1]).expect("the map can be written");
    perf::add(&symbols[1..]).expect("the map can be added to");
    let text = std::fs::read_to_string(perf::path()).expect("the map can be read");
    std::fs::remove_file(perf::path()).expect("the map can be removed");
    let parsed: Vec<perf::Symbol> = text.lines().map(parse).collect();
    assert_eq!(parsed, symbols);

    #[cfg(target_os = "linux")]
    for symbol in &parsed {
        let (start, end) = (symbol.start, symbol.start + symbol.bytes);
        let inside = executable().iter().any(|(from, to)| *from <= start && end <= *to);
        assert!(inside, "{symbol:?} is not in executable memory");
    }
}

/// `START SIZE name`, in base 16.
fn parse(line: &str) -> perf::Symbol {
    let [start, bytes, name] = line.splitn(3, ' ').collect::<Vec<_>>().try_into().expect("three fields");
    let number = |text| u64::from_str_radix(text, 16).expect("a number in base 16");
    perf::Symbol { start: number(start), bytes: number(bytes), name: name.to_owned() }
}

/// The executable mappings of this process.
#[cfg(target_os = "linux")]
fn executable() -> Vec<(u64, u64)> {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("the system lists mappings");
    let mapping = |line: &str| {
        let (range, rest) = line.split_once(' ')?;
        let (from, to) = range.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        rest.as_bytes().get(2).filter(|x| **x == b'x')?;
        Some((number(from)?, number(to)?))
    };
    maps.lines().filter_map(mapping).collect()
}
