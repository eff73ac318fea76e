//! The work of `POST /prune?keep_tokens=K&method=topk` with a `.npy` body of half-precision numbers.

/// The answer to one request; None for a body that is not such a file: version 1.0 of the format, `<f2`, [N] or
/// [heads, N], in C order.
pub fn answer(file: &[u8], count: usize) -> Option<String> {
    if file.len() <= 10 || file[0] != 0x93 {
        return None;
    }
    let start = 10 + usize::from(u16::from_le_bytes([file[8], file[9]]));
    let columns = last_dimension(file.get(10..start)?)?;
    let numbers = &file[start..];
    if columns < count.max(1) || numbers.is_empty() || numbers.len() % (2 * columns) != 0 {
        return None;
    }
    let mut sums = vec![0f32; columns];
    for row in numbers.chunks_exact(2 * columns) {
        add(row, &mut sums);
    }
    let kept: Vec<String> = highest(count, &sums).iter().map(usize::to_string).collect();
    Some(format!("{{\"kept_indices\":[{}]}}", kept.join(",")))
}

/// The last number within the parentheses of `'shape': (16, 576)`.
fn last_dimension(header: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(header).ok()?;
    let shape = &text[text.find('(')? + 1..];
    shape[..shape.find(')')?].split([',', ' ']).filter(|part| !part.is_empty()).last()?.parse().ok()
}

/// Sums over rows: their order is that of the means.
#[cfg(target_feature = "f16c")]
fn add(row: &[u8], sums: &mut [f32]) {
    use std::arch::x86_64::*;
    let whole = sums.len() / 8 * 8;
    for column in (0..whole).step_by(8) {
        // Eight halves and eight floats lie within `row` and `sums`: column + 8 <= whole.
        unsafe {
            let halves = _mm_loadu_si128(row.as_ptr().add(2 * column).cast());
            let target = sums.as_mut_ptr().add(column);
            _mm256_storeu_ps(target, _mm256_add_ps(_mm256_loadu_ps(target), _mm256_cvtph_ps(halves)));
        }
    }
    for column in whole..sums.len() {
        sums[column] += widened(u16::from_le_bytes([row[2 * column], row[2 * column + 1]]));
    }
}

#[cfg(not(target_feature = "f16c"))]
fn add(row: &[u8], sums: &mut [f32]) {
    for (sum, half) in sums.iter_mut().zip(row.chunks_exact(2)) {
        *sum += widened(u16::from_le_bytes([half[0], half[1]]));
    }
}

/// IEEE 754 binary16 to binary32, exactly; not for infinities and NaN.
fn widened(half: u16) -> f32 {
    let magnitude = f32::from_bits(u32::from(half & 0x7fff) << 13) * f32::from_bits(0x7780_0000);
    if half & 0x8000 == 0 { magnitude } else { -magnitude }
}

/// The indices of the `count` highest, ascending; of equal ones the lower index.
fn highest(count: usize, scores: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    let before = |a: &usize, b: &usize| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b));
    if count > 0 && count < order.len() {
        order.select_nth_unstable_by(count - 1, before);
    }
    order.truncate(count);
    order.sort_unstable();
    order
}
