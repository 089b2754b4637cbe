//! compact-encoding: what the protocol uses is core's own; the rest of the package's encodings is put together here from
//! core's primitives.

use crate::json::{Value, hex, list, number, text};
use crate::report::Report;
use corestore_core::encoding::{DecodeError, Reader, Writer};
use serde_json::Value as Plain;

pub(crate) fn compact_encoding(file: &Value, report: &mut Report) {
    for entry in list(file, "entries") {
        let encoding = text(&entry["encoding"]);
        if let Some((_, why)) = NOT_IN_THE_PROTOCOL.iter().find(|(name, _)| *name == encoding) {
            entry.skip(why);
            continue;
        }
        let bytes = hex(&entry["hex"]);
        let name = format!("{encoding} {}", entry["hex"]);
        let value = entry["value"].plain();
        let mut writer = Writer::new();
        encode(encoding, &value, &mut writer);
        report.equal(&format!("encode {name}"), &writer.into_vec(), &bytes);
        let back = entry.get("decoded").map_or(value, Value::plain);
        report.equal(&format!("decode {name}"), &decode(encoding, &mut Reader::new(&bytes)), &Ok(back));
    }
    for entry in list(file, "decodeErrors") {
        entry["message"].skip("the reference's own text");
        let refused = entry["refused"].as_bool().expect("a flag");
        let result = decode(text(&entry["encoding"]), &mut Reader::new(&hex(&entry["hex"])));
        report.equal(&format!("refuse {} {}", entry["encoding"], entry["hex"]), &result.is_err(), &refused);
    }
}

/// Encodings of the package that no message or record of this protocol holds.
const NOT_IN_THE_PROTOCOL: &[(&str, &str)] = &[
    ("lexint", "keys of the reference's own store; ours has keys of its own"),
    ("float32", "no message holds a fraction"),
    ("float64", "no message holds a fraction"),
    ("biguint", "no message holds an integer above 2^53"),
    ("json", "no message holds JSON"),
    ("ndjson", "no message holds JSON"),
    ("date", "no message holds a date"),
    ("ipv4Address", "addresses belong to the DHT"),
    ("ipv6Address", "addresses belong to the DHT"),
    ("ipAddress", "addresses belong to the DHT"),
];

fn encode(encoding: &str, value: &Plain, writer: &mut Writer) {
    if let Some((bytes, signed)) = fixed_integer(encoding) {
        let number = if signed { zigzag(value.as_i64().expect("an integer")) } else { unsigned(value) };
        return writer.raw(&number.to_le_bytes()[..bytes]);
    }
    match encoding {
        "uint" => writer.uint(unsigned(value)),
        "int" => writer.uint(zigzag(value.as_i64().expect("an integer"))),
        "uint8" => writer.u8(small(value)),
        "uint16" => writer.u16(small(value)),
        "uint32" => writer.u32(small(value)),
        "uint64" | "biguint64" => writer.u64(unsigned(value)),
        "uint32be" => writer.raw(&small::<u32>(value).to_be_bytes()),
        "uint64be" => writer.raw(&unsigned(value).to_be_bytes()),
        "bool" => writer.u8(u8::from(value.as_bool().expect("a flag"))),
        "none" => {}
        "buffer" | "uint8array" => writer.buffer(&plain_hex(value)),
        "optionalBuffer" => writer.optional_buffer((!value.is_null()).then(|| plain_hex(value)).as_deref()),
        "string" => writer.string(value.as_str().expect("a string")),
        "raw" | "fixed8" | "fixed16" | "fixed24" | "fixed32" | "fixed64" => writer.raw(&plain_hex(value)),
        "bitarray" => {
            writer.count(items(value).len());
            for eight in items(value).chunks(8) {
                let bits = eight.iter().enumerate();
                writer.u8(bits.fold(0, |byte, (at, bit)| byte | u8::from(bit.as_bool().expect("a flag")) << at));
            }
        }
        "uint32array" => encode_array("uint32", value, writer),
        "stringRecord" => {
            let fields = value.as_object().expect("an object");
            writer.count(fields.len());
            for (key, value) in fields {
                writer.string(key);
                writer.string(value.as_str().expect("a string"));
            }
        }
        _ => match inner(encoding) {
            Some(("array", item)) => encode_array(item, value, writer),
            Some(("frame", item)) => {
                let mut framed = Writer::new();
                encode(item, value, &mut framed);
                writer.buffer(framed.as_slice());
            }
            _ => panic!("no encoding is called {encoding}"),
        },
    }
}

fn encode_array(item: &str, value: &Plain, writer: &mut Writer) {
    writer.count(items(value).len());
    items(value).iter().for_each(|value| encode(item, value, writer));
}

/// The value comes back as the file writes it.
fn decode(encoding: &str, reader: &mut Reader<'_>) -> Result<Plain, DecodeError> {
    let shown = |bytes: &[u8]| Plain::from(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    if let Some((bytes, signed)) = fixed_integer(encoding) {
        let mut eight = [0; 8];
        eight[..bytes].copy_from_slice(reader.raw(bytes, "integer")?);
        let number = u64::from_le_bytes(eight);
        return Ok(if signed { unzigzag(number).into() } else { number.into() });
    }
    Ok(match encoding {
        "uint" => reader.uint("")?.into(),
        "int" => unzigzag(reader.uint("")?).into(),
        "uint8" => reader.u8("")?.into(),
        "uint16" => reader.u16("")?.into(),
        "uint32" => reader.u32("")?.into(),
        "uint64" => reader.u64("")?.into(),
        "biguint64" => reader.u64("")?.to_string().into(),
        "uint32be" => u32::from_be_bytes(reader.array("")?).into(),
        "uint64be" => u64::from_be_bytes(reader.array("")?).into(),
        // Only 1 is true; other bytes are accepted.
        "bool" => (reader.u8("")? == 1).into(),
        "none" => Plain::Null,
        "buffer" | "uint8array" => shown(reader.buffer("")?),
        "optionalBuffer" => reader.optional_buffer("")?.map_or(Plain::Null, shown),
        "string" => reader.string("")?.into(),
        "raw" => shown(reader.rest()),
        "fixed8" => shown(&reader.array::<8>("")?),
        "fixed16" => shown(&reader.array::<16>("")?),
        "fixed24" => shown(&reader.array::<24>("")?),
        "fixed32" => shown(&reader.array::<32>("")?),
        "fixed64" => shown(&reader.array::<64>("")?),
        "bitarray" => {
            let bits = usize::try_from(reader.uint("")?).unwrap_or(usize::MAX);
            let bytes = reader.raw(bits.div_ceil(8), "")?;
            (0..bits).map(|bit| Plain::from(bytes[bit / 8] >> (bit % 8) & 1 == 1)).collect()
        }
        "uint32array" => decode_array("uint32", 4, reader)?,
        "stringRecord" => {
            let count = reader.count(2, "")?;
            let field = |reader: &mut Reader<'_>| Ok((reader.string("")?, Plain::from(reader.string("")?)));
            Plain::Object((0..count).map(|_| field(reader)).collect::<Result<_, DecodeError>>()?)
        }
        _ => match inner(encoding) {
            Some(("array", item)) => decode_array(item, 1, reader)?,
            Some(("frame", item)) => decode(item, &mut Reader::new(reader.buffer("")?))?,
            _ => panic!("no encoding is called {encoding}"),
        },
    })
}

fn decode_array(item: &str, item_size: usize, reader: &mut Reader<'_>) -> Result<Plain, DecodeError> {
    let count = reader.count(item_size, "")?;
    (0..count).map(|_| decode(item, reader)).collect()
}

/// Bytes and sign of the little-endian integers that core has no function of its own for.
fn fixed_integer(encoding: &str) -> Option<(usize, bool)> {
    Some(match encoding {
        "uint24" => (3, false),
        "uint40" => (5, false),
        "uint48" => (6, false),
        "uint56" => (7, false),
        "int8" => (1, true),
        "int16" => (2, true),
        "int24" => (3, true),
        "int32" => (4, true),
        "int40" => (5, true),
        "int48" => (6, true),
        "int56" => (7, true),
        "int64" => (8, true),
        _ => return None,
    })
}

/// `array(uint)` is an array of uints.
fn inner(encoding: &str) -> Option<(&str, &str)> {
    encoding.strip_suffix(')')?.split_once('(')
}

/// 0, -1, 1, -2, 2, … as 0, 1, 2, 3, 4, …
fn zigzag(value: i64) -> u64 {
    let doubled = value.unsigned_abs() * 2;
    if value < 0 { doubled - 1 } else { doubled }
}

fn unzigzag(value: u64) -> i64 {
    let half = i64::try_from(value / 2).expect("below 2^63");
    if value % 2 == 1 { -half - 1 } else { half }
}

fn unsigned(value: &Plain) -> u64 {
    number(&Value::from(value.clone()))
}

fn small<T: TryFrom<u64>>(value: &Plain) -> T {
    T::try_from(unsigned(value)).ok().expect("a small number")
}

fn plain_hex(value: &Plain) -> Vec<u8> {
    hex(&Value::from(value.clone()))
}

fn items(value: &Plain) -> &[Plain] {
    value.as_array().expect("a list")
}
