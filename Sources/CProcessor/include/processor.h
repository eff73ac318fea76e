// Which instructions the processor has, beyond those of its architecture's baseline, and which of them to use.
#ifndef CROP_PROCESSOR_H
#define CROP_PROCESSOR_H

/// The x86-64 level (psABI): 1 the baseline, 3 with AVX2, 4 with AVX-512; 1 on other architectures.
int crop_processor_level(void);

/// Keeps the choice of the program's start for whoever asks first; -1 until there is one.
void crop_choose_level(int index);
int crop_chosen_level(void);

#endif
