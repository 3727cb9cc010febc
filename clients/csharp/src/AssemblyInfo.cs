using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

[assembly: AssemblyTitle("UFlow")]
[assembly: AssemblyVersion("0.1.0.0")]
[assembly: ComVisible(false)]
// Only the folder of the assembly and the system's own places, not the working directory.
[assembly: DefaultDllImportSearchPaths(DllImportSearchPath.AssemblyDirectory | DllImportSearchPath.SafeDirectories)]
[assembly: InternalsVisibleTo("UFlow.Tests")]
