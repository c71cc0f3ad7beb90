//! Projections, normalization and the choice of a token.

use kvlens_native::cuda::{Gpu, Linear, Result, Selection, SplitRows, Then, argmax, split};

use crate::{
    data::{Random, relative_norm},
    report::Report,
};

/// Checks of [`check_ops`].
pub(crate) const CHECKS: usize = 3 * ROWS.len() + 2;
/// What a sum of f32 products in another order may differ by.
const BOUND: f64 = 2e-6;
/// Rows for both kernels of a projection, and their tiles' edges.
const ROWS: [usize; 5] = [1, 16, 37, 65, 300];
const INPUTS: usize = 192;
const OUTPUTS: usize = 203;

/// Checks all operations.
pub(crate) fn check_ops(gpu: &Gpu, random: &mut Random, report: &mut Report) -> Result<()> {
    let weights: Vec<f32> = random
        .tensor::<half::f16>(INPUTS * OUTPUTS)
        .into_iter()
        .map(half::f16::to_f32)
        .collect();
    let linear = Linear::try_new(gpu, &[&weights], INPUTS)?;
    for rows in ROWS {
        projection(gpu, random, report, (&linear, &weights), rows)?;
    }
    normalization(gpu, random, report)?;
    choice(gpu, random, report)
}

fn rows_of(random: &mut Random, len: usize) -> Vec<f32> {
    (0..len).map(|_| random.normal()).collect()
}

fn multiply(weights: &[f32], x: &[f32]) -> Vec<f64> {
    let row = |x: &[f32]| -> Vec<f64> {
        let dot = |w: &[f32]| w.iter().zip(x).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        weights.chunks_exact(INPUTS).map(dot).collect()
    };
    x.chunks_exact(INPUTS).flat_map(row).collect()
}

fn projection(
    gpu: &Gpu,
    random: &mut Random,
    report: &mut Report,
    (linear, weights): (&Linear, &[f32]),
    rows: usize,
) -> Result<()> {
    let x = rows_of(random, rows * INPUTS);
    let mut planes = SplitRows::try_new(gpu, rows + 3, INPUTS)?;
    let all = Selection {
        rows,
        indices: None,
        normalize: false,
    };
    split(gpu, &gpu.upload(&x)?.as_view(), &all, &mut planes)?;
    let mut expected = multiply(weights, &x);
    let mut y = gpu.upload(&vec![f32::NAN; rows * OUTPUTS])?;
    linear.apply(gpu, &planes, rows, Then::Store(y.as_view_mut()))?;
    report.error(
        &format!("projection of {rows} rows"),
        relative_norm(&gpu.download(&y)?, &expected),
        BOUND,
    );
    linear.apply(gpu, &planes, rows, Then::Add(y.as_view_mut()))?;
    expected.iter_mut().for_each(|y| *y *= 2.0);
    report.error(
        &format!("projection of {rows} rows, added"),
        relative_norm(&gpu.download(&y)?, &expected),
        BOUND,
    );
    let mut next = SplitRows::try_new(gpu, rows, OUTPUTS)?;
    linear.apply(gpu, &planes, rows, Then::ReluSplit(&mut next))?;
    expected.iter_mut().for_each(|y| *y = (*y / 2.0).max(0.0));
    let found = next.download(gpu, rows)?;
    report.error(
        &format!("projection of {rows} rows, split"),
        relative_norm(&found, &expected),
        BOUND,
    );
    Ok(())
}

fn normalization(gpu: &Gpu, random: &mut Random, report: &mut Report) -> Result<()> {
    let x = rows_of(random, 9 * INPUTS);
    let picked = [7_u32, 0, 3];
    let mut planes = SplitRows::try_new(gpu, 3, INPUTS)?;
    let indices = gpu.upload(&picked)?;
    let select = Selection {
        rows: 3,
        indices: Some(&indices),
        normalize: true,
    };
    split(gpu, &gpu.upload(&x)?.as_view(), &select, &mut planes)?;
    let mut expected = Vec::new();
    for row in picked {
        let row = &x[row as usize * INPUTS..][..INPUTS];
        let squares: f64 = row.iter().map(|x| f64::from(*x).powi(2)).sum();
        let scale = (squares / INPUTS as f64 + 1e-6).sqrt();
        expected.extend(row.iter().map(|x| f64::from(*x) / scale));
    }
    report.error(
        "normalization of picked rows",
        relative_norm(&planes.download(gpu, 3)?, &expected),
        BOUND,
    );
    Ok(())
}

fn choice(gpu: &Gpu, random: &mut Random, report: &mut Report) -> Result<()> {
    const COLUMNS: usize = 1003;
    let mut logits = rows_of(random, 5 * COLUMNS);
    // Equal ones: the lowest wins, wherever its thread is.
    for (row, places) in [[3, 700], [255, 256], [1, 1002], [400, 144], [999, 1000]]
        .into_iter()
        .enumerate()
    {
        places
            .into_iter()
            .for_each(|place| logits[row * COLUMNS + place] = 50.0);
    }
    let mut tokens = gpu.upload(&[u32::MAX; 5])?;
    argmax(gpu, &gpu.upload(&logits)?.as_view(), 5, COLUMNS, &mut tokens)?;
    report.equal(
        "the lowest of equal tokens",
        gpu.download(&tokens)? == [3, 255, 1, 144, 999],
    );
    Ok(())
}
