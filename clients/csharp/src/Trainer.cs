using System;
using System.Collections.Generic;
using System.Runtime.ExceptionServices;
using System.Threading;
using System.Threading.Tasks;

namespace UFlow
{
    /// <summary>Collects good frames and fits a model to them. Training runs on the CPU.</summary>
    /// <remarks>
    /// One thread at a time (<see cref="BusyException"/> otherwise). The engine may be disposed earlier. The features of frames are kept,
    /// not the frames: more can be added after a fit, and a model fitted again.
    /// </remarks>
    public sealed unsafe class Trainer : IDisposable
    {
        private readonly TrainerHandle handle;

        internal Trainer(IntPtr engine, FitOptions options)
        {
            uflow_trainer* made;
            using (FitOptionsHandle built = options.Build())
            using (var with = new Lease(built))
            {
                Native.Check(NativeMethods.uflow_trainer_new((uflow_engine*)engine, (uflow_fit_options*)with.Pointer, &made));
            }
            handle = new TrainerHandle(made);
        }

        /// <summary>
        /// The number of frames that a model would be fitted to; 0 while another thread uses the trainer. Frames that were added twice, and
        /// frames of one value, are not counted.
        /// </summary>
        public long Frames
        {
            get
            {
                using (var self = new Lease(handle))
                {
                    return checked((long)NativeMethods.uflow_trainer_frames((uflow_trainer*)self.Pointer));
                }
            }
        }

        /// <summary>Adds a good frame, which is read only during the call. A frame that fails is not added.</summary>
        public void Add(Image image)
        {
            Detector.Require(image, nameof(image));
            using (var self = new Lease(handle))
            using (Pin pin = image.Pin())
            {
                uflow_image native = image.Describe(pin);
                Native.Check(NativeMethods.uflow_trainer_add((uflow_trainer*)self.Pointer, &native));
            }
        }

        /// <summary>
        /// Leaves out the frames that look defective or of another product, the most unusual first. Each is judged by models that did not see it. Call it after the
        /// last <see cref="Add"/>; the next model is fitted without them, and its package names them.
        /// </summary>
        /// <param name="most">The most frames to leave out.</param>
        /// <returns>What was left out, such as <c>frame 12: log10 NFA -3.41</c>. Frame 0 was added first.</returns>
        /// <exception cref="TrainingException">Fewer than 8 frames would be left; none is left out then.</exception>
        public IReadOnlyList<string> DropDoubtful(int most)
        {
            if (most < 0) { throw new ArgumentOutOfRangeException(nameof(most), most, "must not be negative"); }
            using (var self = new Lease(handle))
            {
                uflow_text* text;
                Native.Check(NativeMethods.uflow_trainer_drop_doubtful((uflow_trainer*)self.Pointer, (uint)most, &text));
                return Array.AsReadOnly(Native.Take(text).Split(new[] { '\n' }, StringSplitOptions.RemoveEmptyEntries));
            }
        }

        /// <summary>
        /// Fits a model and writes it to a path: a folder, or one file if the name ends in <c>.uflow</c>. This takes minutes. The package is
        /// written completely or not at all.
        /// </summary>
        /// <param name="path">An existing package is replaced at the end.</param>
        /// <param name="progress">
        /// Called in this thread before the first epoch and after every optimiser step and epoch; null: not. It must not use the trainer.
        /// An exception that it throws cancels training and leaves this method.
        /// </param>
        /// <param name="token">Cancels training; nothing is written.</param>
        /// <exception cref="TrainingException">There are fewer than 8 frames, or the frames are nearly the same.</exception>
        /// <exception cref="CancelledException">The callback answered <see cref="FitControl.Cancel"/>.</exception>
        /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
        public Training Fit(string path, Func<FitProgress, FitControl> progress = null, CancellationToken token = default(CancellationToken))
        {
            token.ThrowIfCancellationRequested();
            var asked = new Asked(progress, token);
            NativeMethods.uflow_trainer_fit_callback_delegate callback = asked.Answer;
            using (var self = new Lease(handle))
            {
                var trainer = (uflow_trainer*)self.Pointer;
                fixed (byte* text = Native.Bytes(path, nameof(path)))
                {
                    uflow_status* status = NativeMethods.uflow_trainer_fit(trainer, text, callback, null);
                    GC.KeepAlive(callback);
                    asked.Check(status);
                }
                return Outcome(trainer);
            }
        }

        /// <summary>As <see cref="Fit"/>, in a thread of its own. Do not use the trainer until the task ends.</summary>
        /// <param name="path">An existing package is replaced at the end.</param>
        /// <param name="progress">Gets the progress; null: nobody.</param>
        /// <param name="token">Cancels training; nothing is written, and the task is cancelled.</param>
        public Task<Training> FitAsync(string path, IProgress<FitProgress> progress = null, CancellationToken token = default(CancellationToken))
        {
            Func<FitProgress, FitControl> report = null;
            if (progress != null)
            {
                report = now =>
                {
                    progress.Report(now);
                    return FitControl.Continue;
                };
            }
            return Task.Factory.StartNew(() => Fit(path, report, token), token, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        }

        /// <summary>Frees the trainer and its features, after a call of another thread has ended.</summary>
        public void Dispose() => handle.Dispose();

        private static Training Outcome(uflow_trainer* trainer)
        {
            var found = new uflow_training { struct_size = (UIntPtr)sizeof(uflow_training) };
            Native.Check(NativeMethods.uflow_trainer_get_training(trainer, &found));
            uflow_text* text;
            Native.Check(NativeMethods.uflow_trainer_warnings(trainer, &text));
            string[] warnings = Native.Take(text).Split(new[] { '\n' }, StringSplitOptions.RemoveEmptyEntries);
            return new Training(found, warnings);
        }

        /// <summary>Answers the library's calls during one fit. No exception may cross the library.</summary>
        private sealed class Asked
        {
            private readonly Func<FitProgress, FitControl> progress;
            private readonly CancellationToken token;
            private ExceptionDispatchInfo thrown;
            private bool cancelled;

            internal Asked(Func<FitProgress, FitControl> progress, CancellationToken token)
            {
                this.progress = progress;
                this.token = token;
            }

            internal uint Answer(void* userData, uflow_progress* now)
            {
                try
                {
                    if (token.IsCancellationRequested)
                    {
                        cancelled = true;
                        return (uint)FitControl.Cancel;
                    }
                    return (uint)(progress == null ? FitControl.Continue : progress(new FitProgress(now)));
                }
                catch (Exception failure)
                {
                    thrown = ExceptionDispatchInfo.Capture(failure);
                    return (uint)FitControl.Cancel;
                }
            }

            internal void Check(uflow_status* status)
            {
                UFlowException failure = status == null ? null : Native.Take(status);
                thrown?.Throw();
                if (failure is CancelledException && cancelled)
                {
                    throw new OperationCanceledException(failure.Message, failure, token);
                }
                if (failure != null)
                {
                    throw failure;
                }
            }
        }
    }

    /// <summary>The progress of training.</summary>
    public sealed unsafe class FitProgress
    {
        internal FitProgress(uflow_progress* now)
        {
            Epoch = (int)now->epoch;
            Epochs = (int)now->epochs;
            Batch = (int)now->batch;
            Batches = (int)now->batches;
            Loss = now->loss;
            LearningRate = now->learning_rate;
            Elapsed = TimeSpan.FromSeconds(now->seconds);
            HeldOutNll = now->held_out_nll;
            LatentVariance = now->latent_variance;
            Fold = (int)now->fold;
            Folds = (int)now->folds;
        }

        /// <summary>Epoch, from 1; 0 before the first.</summary>
        public int Epoch { get; }
        /// <summary>The most epochs.</summary>
        public int Epochs { get; }
        /// <summary>Optimiser steps done in this epoch.</summary>
        public int Batch { get; }
        /// <summary>Optimiser steps of an epoch.</summary>
        public int Batches { get; }
        /// <summary>Mean training loss of this epoch so far, in nats per feature value; NaN before the first.</summary>
        public double Loss { get; }
        /// <summary>Adam's learning rate in the last step.</summary>
        public double LearningRate { get; }
        /// <summary>The time since training began.</summary>
        public TimeSpan Elapsed { get; }
        /// <summary>After each epoch, and before the first: the negative log-likelihood of the held-out images, in nats per value; else NaN.</summary>
        public double HeldOutNll { get; }
        /// <summary>At the same times: the mean of z² on the held-out images, of the scale where it is farthest from 1; else NaN.</summary>
        public double LatentVariance { get; }
        /// <summary>The number of the flow that is being trained: 0 is the model's own, later ones calibrate its null.</summary>
        public int Fold { get; }
        /// <summary>The number of flows; 1 without cross-fitting.</summary>
        public int Folds { get; }
    }

    /// <summary>The outcome of training.</summary>
    public sealed class Training
    {
        internal Training(uflow_training training, string[] warnings)
        {
            Images = (int)training.images;
            HeldOut = (int)training.held_out;
            Epochs = (int)training.epochs;
            BestEpoch = (int)training.best_epoch;
            StopReason = (StopReason)training.stop_reason;
            FairThreshold = training.fair_threshold;
            HeldOutNll = training.held_out_nll;
            LatentVariance = training.latent_variance;
            Elapsed = TimeSpan.FromSeconds(training.seconds);
            NullImages = (int)training.null_images;
            NullImagesPlanned = (int)training.null_images_planned;
            Warnings = Array.AsReadOnly(warnings);
        }

        /// <summary>The number of images that the flow was trained on.</summary>
        public int Images { get; }
        /// <summary>The number of images that were held out to monitor training.</summary>
        public int HeldOut { get; }
        /// <summary>The number of epochs that were started.</summary>
        public int Epochs { get; }
        /// <summary>The epoch whose model was written; 0: the model before training.</summary>
        public int BestEpoch { get; }
        /// <summary>Why training ended.</summary>
        public StopReason StopReason { get; }
        /// <summary>The fair threshold of <see cref="Detection.ScoreMax"/> (paper, §4.1.1).</summary>
        public float FairThreshold { get; }
        /// <summary>Negative log-likelihood of the held-out images, in nats per value.</summary>
        public double HeldOutNll { get; }
        /// <summary>The mean of z² on the held-out images. Outside 0.8 to 1.25 the model's numbers of false alarms are not reliable.</summary>
        public double LatentVariance { get; }
        /// <summary>The duration.</summary>
        public TimeSpan Elapsed { get; }
        /// <summary>The number of good images that the null was calibrated on; 0 if it is not calibrated.</summary>
        public int NullImages { get; }
        /// <summary>The planned number: more than <see cref="NullImages"/> if cross-fitting was stopped or failed.</summary>
        public int NullImagesPlanned { get; }
        /// <summary>What to know about the model.</summary>
        public System.Collections.ObjectModel.ReadOnlyCollection<string> Warnings { get; }
    }
}
