// Which instructions the processor has, beyond those of its architecture's baseline.
#ifndef CROP_PROCESSOR_H
#define CROP_PROCESSOR_H

/// The x86-64 level (psABI): 1 the baseline, 3 with AVX2, 4 with AVX-512; 1 on other architectures.
int crop_processor_level(void);

#endif
